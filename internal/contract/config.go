// Package contract is what the manager and sandboxd say to each other: the Config that the manager writes into a run's
// immutable ConfigMap, and the Report that sandboxd leaves in the pod's termination message. Both are JSON.
package contract

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Paths inside a sandbox. Volumes of the pod are mounted at them; they are the same in every class.
const (
	// BinDir holds the copy of sandboxd that the install init container made.
	BinDir = "/sandkeep/bin"
	// ConfigDir holds ConfigFile, mounted read-only from the run's immutable ConfigMap.
	ConfigDir = "/sandkeep/config"
	// ConfigFile is the key of the ConfigMap and the name of the file.
	ConfigFile = "config.json"
	// CredentialsDir holds, for File delivery by reference, one directory a provider with the file APIKeyFile.
	CredentialsDir = "/sandkeep/credentials"
	// APIKeyFile is the file of a delivered API key.
	APIKeyFile = "api-key"
	// PrivateDir is a memory-backed volume: whatever is rendered from key material lives here, and so never on a disk.
	PrivateDir = "/sandkeep/private"
	// ChannelDir is what CredentialsDir is, for keys that come from the gateway.
	ChannelDir = PrivateDir + "/credentials"
	// ReadyFile exists while the agent is at work; the readiness probe of the agent container asks for it.
	ReadyFile = PrivateDir + "/ready"
	// WorkspaceDir is where repositories are cloned and the agent works.
	WorkspaceDir = "/workspace"
	// HomeDir is the agent's HOME, a volume of its own, whatever the image says.
	HomeDir = "/home/sandkeep"
	// TerminationLog is where the Report is written.
	TerminationLog = "/dev/termination-log"
)

// Environment variables of the agent container that are read by sandboxd and never passed on to the agent.
const (
	// ConfigDigestEnv holds the Digest of the Config that this pod was made for; sandboxd refuses any other.
	ConfigDigestEnv = "SANDKEEP_CONFIG_DIGEST"
	// APIKeyEnvPrefix begins the variables through which a key is delivered for Env delivery; see APIKeyEnv.
	APIKeyEnvPrefix = "SANDKEEP_API_KEY_"
)

// APIKeyEnv is the variable of the agent container that holds the key of the n-th credential of a Config, from 0.
func APIKeyEnv(n int) string { return fmt.Sprintf("%s%d", APIKeyEnvPrefix, n) }

// Config is everything that one run of a sandbox is told. It holds no key material.
type Config struct {
	// Session says whose run this is.
	Session SessionRef `json:"session"`
	// Prompt is the user's text, as written.
	Prompt string `json:"prompt"`
	// Model is passed to the agent as written; empty: the agent's own default.
	Model string `json:"model,omitempty"`
	// Agent says how the agent is run.
	Agent Agent `json:"agent"`
	// Repositories are cloned before the agent starts, in this order.
	Repositories []Repository `json:"repositories,omitempty"`
	// Credentials are the resolved credentials; their order numbers APIKeyEnv. They are also the manager's memory of who
	// pays for this run.
	Credentials []Credential `json:"credentials,omitempty"`
	// Gateway is the sandbox's way to its providers and to keys of the keep; nil where it needs neither.
	Gateway *Gateway `json:"gateway,omitempty"`
	// UnsetEnv names the variables that are taken out of the agent's environment whatever brought them: the credential
	// variables of every provider, so that exactly one credential of a provider reaches the agent.
	UnsetEnv []string `json:"unsetEnv,omitempty"`
	// Env is the agent's environment, over the image's: the class's variables, then the session's.
	Env []EnvVar `json:"env,omitempty"`
	// LogFormat is how the transcript is written to standard output.
	LogFormat LogFormat `json:"logFormat"`
	// ReportText says whether the agent's own words may go into the Report.
	ReportText ReportText `json:"reportText"`
	// ReportLimit is the most bytes that a Report may have: the kubelet's share of the pod for a termination message.
	ReportLimit int `json:"reportLimit"`
	// GracePeriod is the pod's termination grace period; sandboxd ends well within it after SIGTERM.
	GracePeriod Seconds `json:"gracePeriodSeconds"`
	// CloneTimeout bounds the clone of one repository, and every other git command.
	CloneTimeout Seconds `json:"cloneTimeoutSeconds"`
	// SilenceTimeout ends an agent that gives no sign of life for so long (AgentSilent); 0: never.
	SilenceTimeout Seconds `json:"silenceTimeoutSeconds,omitempty"`
	// KeepWorkspace is true where the workspace outlives the pod (a PVC): repositories that an earlier run cloned are kept
	// as they are.
	KeepWorkspace bool `json:"keepWorkspace,omitempty"`
}

// SessionRef names a Session and one run of it.
type SessionRef struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	// Run counts from 1. From the second run on, a repository whose PushBranch exists at its origin is continued from it.
	Run int32 `json:"run"`
}

// Agent is how the agent is run.
type Agent struct {
	Protocol Protocol `json:"protocol"`
	// Command and Args start the agent. For protocol Command the prompt is its standard input. The words $(MODEL),
	// $(WORKSPACE) and $(HOME) in Args are replaced, and an argument that consists of $(MODEL) alone is left out, with the one before
	// it where that begins with "-", when no model is given.
	Command []string `json:"command"`
	Args    []string `json:"args,omitempty"`
	// Output is the format of standard output for protocol Command.
	Output Output `json:"output,omitempty"`
	// Permissions answers what an agent asks leave for.
	Permissions Permissions `json:"permissions,omitempty"`
}

// Protocol is how sandboxd speaks with an agent.
type Protocol string

// The protocols.
const (
	// ProtocolACP is the Agent Client Protocol, JSON-RPC over standard input and output (https://agentclientprotocol.com).
	ProtocolACP Protocol = "ACP"
	// ProtocolCommand runs a program once: the prompt on standard input, a named Output, an exit code.
	ProtocolCommand Protocol = "Command"
)

// Output is the format of what a Command agent prints.
type Output string

// The output formats.
const (
	OutputText             Output = "Text"
	OutputOpenCodeJSON     Output = "OpenCodeJSON"
	OutputClaudeStreamJSON Output = "ClaudeStreamJSON"
	OutputCodexJSON        Output = "CodexJSON"
)

// Permissions is the answer to an agent's permission requests.
type Permissions string

// The answers.
const (
	// PermissionsAllow answers every request with yes, once: the sandbox is the fence.
	PermissionsAllow Permissions = "Allow"
	// PermissionsDeny answers every request with no.
	PermissionsDeny Permissions = "Deny"
)

// LogFormat is the form of the transcript.
type LogFormat string

// The forms.
const (
	LogFormatText LogFormat = "Text"
	LogFormatJSON LogFormat = "JSON"
)

// ReportText says how much of the agent's words a Report carries.
type ReportText string

// The amounts.
const (
	ReportTextFull ReportText = "Full"
	ReportTextNone ReportText = "None"
)

// Repository is one clone.
type Repository struct {
	// URL is http or https, without credentials.
	URL string `json:"url"`
	// Ref is a branch, tag or commit; empty: the origin's default branch.
	Ref string `json:"ref,omitempty"`
	// Path is relative to WorkspaceDir, cleaned, and never leaves it.
	Path string `json:"path"`
	// PushBranch is where what the agent made is pushed; empty: nothing is pushed.
	PushBranch string `json:"pushBranch,omitempty"`
}

// Delivery is how a key reaches the agent.
type Delivery string

// The deliveries.
const (
	// DeliveryProxy keeps the key in the gateway. The agent gets Placeholder, and BaseURL leads to sandboxd at ProxyAddress.
	DeliveryProxy Delivery = "Proxy"
	// DeliveryEnv puts the key into the agent's environment.
	DeliveryEnv Delivery = "Env"
	// DeliveryFile gives the agent a file that holds the key.
	DeliveryFile Delivery = "File"
)

// Credential is one resolved credential and what the agent is told about its provider.
type Credential struct {
	Provider string `json:"provider"`
	// Kind and Name refer to the credential object; Source says whose it is and Method how it opens the provider.
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Source string `json:"source"`
	Method string `json:"method"`
	// Delivery decides which of Env and Files apply: those that speak of the key by $(API_KEY) are used in the delivery of
	// their own kind only, the others always. $(API_KEY_FILE) is the path of the key's file (File delivery only),
	// $(BASE_URL) is the provider's address without a final slash.
	Delivery Delivery   `json:"delivery"`
	BaseURL  string     `json:"baseURL,omitempty"`
	Env      []EnvVar   `json:"env,omitempty"`
	Files    []FileSpec `json:"files,omitempty"`
	// ByChannel is true where the key is in the keep and delivered as Env or File: sandboxd asks the gateway for it, and the pod refers to no Secret.
	ByChannel bool `json:"byChannel,omitempty"`
	// SecretName and SecretKey say where the key is, for messages and for the pod's references; never its value. They are empty where the pod
	// has no such reference.
	SecretName string `json:"secretName,omitempty"`
	SecretKey  string `json:"secretKey,omitempty"`
	// PassedOver says why a credential of the namespace's own is not used in its place; the manager remembers it, the sandbox has no use for it.
	PassedOver string `json:"passedOver,omitempty"`
}

// ByReference is true where the kubelet brings the key into the pod.
func (c Credential) ByReference() bool { return c.Delivery != DeliveryProxy && !c.ByChannel }

// EnvVar is one plain variable.
type EnvVar struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// FileSpec is a file in the agent's home. Its content is written to PrivateDir with mode 0600 and linked from Path.
type FileSpec struct {
	// Path is relative to HomeDir.
	Path    string `json:"path"`
	Content string `json:"content"`
}

// Seconds is a whole number of seconds in JSON.
type Seconds int64

// Duration is the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Encode is the Config as it is stored: stable for equal values.
func (c Config) Encode() ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the sandbox's configuration: %w", err)
	}
	return data, nil
}

// DecodeConfig reads what Encode wrote.
func DecodeConfig(data []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return Config{}, fmt.Errorf("decode the sandbox's configuration: %w", err)
	}
	return c, nil
}

// Digest identifies stored bytes, as "sha256:<hex>".
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
