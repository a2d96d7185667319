package sandbox

import (
	"cmp"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
)

const (
	// defaultGracePeriod is what an agent gets to end well, in seconds, where the class says nothing.
	defaultGracePeriod = 60
	// cloneTimeout bounds one git command, in seconds.
	cloneTimeout = 600
	// silenceTimeout ends an agent that gives no sign of life, in seconds.
	silenceTimeout = 1800
	// The kubelet shares 12 KiB of termination messages among the containers of a pod, 4 KiB each at most
	// (pkg/kubelet/kuberuntime, MaxPodTerminationMessageLogLength).
	maxTerminationMessage      = 4096
	maxTerminationMessageOfPod = 12288
	// maxPassedOver is the most that a status says of a credential that was passed over, in bytes.
	maxPassedOver = 1024
)

// ConfigInput is what the configuration of a run is made from.
type ConfigInput struct {
	Session   *v1alpha1.Session
	Class     *v1alpha1.SessionClass
	Resolved  []credential.Resolved
	Providers []v1alpha1.APIProvider
	// Gateway is where the gateway is; nil where nobody knows, and then no credential must need it.
	Gateway *contract.Gateway
	Run     int32
	// HasVolume is true when the Session has a workspace volume, whatever its class says by now.
	HasVolume bool
}

// ConfigFor is what one run of a Session is told.
func ConfigFor(in ConfigInput) contract.Config {
	s, class, agent := in.Session, in.Class, in.Class.Spec.Agent
	return contract.Config{
		Session: contract.SessionRef{Namespace: s.Namespace, Name: s.Name, UID: string(s.UID), Run: in.Run},
		Prompt:  s.Spec.Prompt,
		Model:   s.Spec.Model,
		Agent: contract.Agent{
			Protocol:    contract.Protocol(agent.Protocol),
			Command:     agent.Command,
			Args:        agent.Args,
			Output:      contract.Output(cmp.Or(agent.Output, v1alpha1.AgentOutputText)),
			Permissions: contract.Permissions(cmp.Or(agent.Permissions, v1alpha1.AgentPermissionsAllow)),
		},
		Repositories:   repositories(s),
		Credentials:    credentials(in.Resolved, agent.Name),
		Gateway:        gatewayFor(in),
		UnsetEnv:       unsetEnv(in.Providers),
		Env:            append(plain(agent.Env), plain(s.Spec.Env)...),
		LogFormat:      contract.LogFormat(cmp.Or(class.Spec.LogFormat, v1alpha1.LogFormatText)),
		ReportText:     contract.ReportText(cmp.Or(class.Spec.ReportText, v1alpha1.ReportTextFull)),
		ReportLimit:    reportLimit(class),
		GracePeriod:    contract.Seconds(gracePeriod(class)),
		CloneTimeout:   cloneTimeout,
		SilenceTimeout: silenceTimeout,
		KeepWorkspace:  in.HasVolume || workspaceFor(s, class) != nil,
	}
}

// gatewayFor is the gateway of runs that need it.
func gatewayFor(in ConfigInput) *contract.Gateway {
	if slices.ContainsFunc(in.Resolved, credential.Resolved.NeedsGateway) {
		return in.Gateway
	}
	return nil
}

// PinOf is the payers that a run was given, as its configuration remembers them. It is never nil.
func PinOf(c contract.Config) []v1alpha1.ResolvedCredential {
	pin := make([]v1alpha1.ResolvedCredential, 0, len(c.Credentials))
	for _, cred := range c.Credentials {
		pin = append(pin, v1alpha1.ResolvedCredential{
			Provider: cred.Provider,
			Ref:      v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKind(cred.Kind), Name: cred.Name},
			Source:   v1alpha1.CredentialSource(cred.Source),
			Method:   v1alpha1.CredentialMethod(cred.Method),
			Delivery: v1alpha1.Delivery(cred.Delivery), PassedOver: cred.PassedOver,
		})
	}
	return pin
}

func repositories(s *v1alpha1.Session) []contract.Repository {
	var list []contract.Repository
	for _, r := range s.Spec.Repositories {
		list = append(list, contract.Repository{
			URL: r.URL, Ref: r.Ref, PushBranch: r.PushBranch,
			Path: cmp.Or(r.Path, strings.TrimSuffix(path.Base(r.URL), ".git")),
		})
	}
	return list
}

func credentials(resolved []credential.Resolved, agent string) []contract.Credential {
	var list []contract.Credential
	for _, r := range resolved {
		env, files := agentConfig(r.Provider.Spec.AgentConfig, agent)
		c := contract.Credential{
			Provider: r.Provider.Name,
			Kind:     string(r.Ref.Kind),
			Name:     r.Ref.Name,
			Source:   string(r.Source),
			Method:   string(r.Method),
			Delivery: contract.Delivery(r.Delivery),
			BaseURL:  baseURL(r.Provider.Spec.Endpoints[0]),
			Env:      env, Files: files,
			PassedOver: contract.OneLine(r.PassedOver, maxPassedOver),
			ByChannel:  r.ByChannel(),
		}
		if c.ByReference() {
			c.SecretName, c.SecretKey = r.Secret.Name, r.Secret.Key
		}
		if r.Delivery == v1alpha1.DeliveryProxy {
			c.BaseURL = "http://" + contract.ProxyAddress + "/" + r.Provider.Name
		}
		list = append(list, c)
	}
	return list
}

// agentConfig is what a provider tells every agent, with the entries of the named agent over it.
func agentConfig(c v1alpha1.AgentConfig, agent string) ([]contract.EnvVar, []contract.FileSpec) {
	env, files := c.Env, c.Files
	for _, named := range c.Agents {
		if agent != "" && named.Name == agent {
			env, files = overlay(env, named.Env, envName), overlay(files, named.Files, filePath)
		}
	}
	var specs []contract.FileSpec
	for _, f := range files {
		specs = append(specs, contract.FileSpec{Path: f.Path, Content: f.Content})
	}
	return plain(env), specs
}

// overlay replaces the entries of base that over has too, and appends the rest of over.
func overlay[T any](base, over []T, key func(T) string) []T {
	merged := slices.Clone(base)
	for _, o := range over {
		i := slices.IndexFunc(merged, func(b T) bool { return key(b) == key(o) })
		if i < 0 {
			merged = append(merged, o)
			continue
		}
		merged[i] = o
	}
	return merged
}

func envName(e v1alpha1.EnvVar) string     { return e.Name }
func filePath(f v1alpha1.AgentFile) string { return f.Path }

func plain(env []v1alpha1.EnvVar) []contract.EnvVar {
	var list []contract.EnvVar
	for _, e := range env {
		v := contract.EnvVar{Name: e.Name}
		if e.Value != nil {
			v.Value = *e.Value
		}
		list = append(list, v)
	}
	return list
}

// unsetEnv names the variables through which any provider takes a credential. sandboxd takes all of them away and then sets
// those of the resolved credentials, so that neither an image nor a Session brings a second payer.
func unsetEnv(providers []v1alpha1.APIProvider) []string {
	var names []string
	for _, p := range providers {
		c := p.Spec.AgentConfig
		names = append(names, c.UnsetEnv...)
		env := slices.Clone(c.Env)
		for _, a := range c.Agents {
			env = append(env, a.Env...)
		}
		for _, e := range env {
			if e.Value != nil && strings.Contains(*e.Value, "$(API_KEY") {
				names = append(names, e.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

var impliedPort = map[v1alpha1.EndpointScheme]int32{v1alpha1.EndpointSchemeHTTPS: 443, v1alpha1.EndpointSchemeHTTP: 80}

// baseURL is the address of an endpoint without a final slash; the port is left out where the scheme implies it.
func baseURL(e v1alpha1.Endpoint) string {
	scheme := cmp.Or(e.Scheme, v1alpha1.EndpointSchemeHTTPS)
	if e.Port == nil || *e.Port == impliedPort[scheme] {
		return string(scheme) + "://" + e.Host
	}
	return string(scheme) + "://" + net.JoinHostPort(e.Host, strconv.Itoa(int(*e.Port)))
}

// reportLimit is the share of a termination message that each container of the pod gets.
func reportLimit(class *v1alpha1.SessionClass) int {
	spec := class.Spec.PodTemplate.Spec
	containers := len(spec.Containers) + len(spec.InitContainers) + 1 // and install
	return min(maxTerminationMessage, maxTerminationMessageOfPod/(containers+1))
}

func gracePeriod(class *v1alpha1.SessionClass) int64 {
	if g := class.Spec.PodTemplate.Spec.TerminationGracePeriodSeconds; g != nil && *g > 0 {
		return *g
	}
	return defaultGracePeriod
}
