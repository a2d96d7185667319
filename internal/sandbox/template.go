package sandbox

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// InvalidTemplate says why a class's template cannot become a sandbox, one line; empty when it can.
func InvalidTemplate(class *v1alpha1.SessionClass) string {
	spec := &class.Spec.PodTemplate.Spec
	for _, check := range []func(*corev1.PodSpec) string{oneAgent, onlySidecars, safeVolumes, safeContainers} {
		if problem := check(spec); problem != "" {
			return problem
		}
	}
	return ""
}

func oneAgent(spec *corev1.PodSpec) string {
	if len(spec.Containers) != 1 || spec.Containers[0].Name != AgentContainer {
		return "podTemplate must have exactly one container, named \"agent\"; make helpers init containers with restartPolicy Always"
	}
	if spec.Containers[0].Image == "" {
		return "podTemplate's container \"agent\" has no image; name one that holds the agent and git"
	}
	return ""
}

func onlySidecars(spec *corev1.PodSpec) string {
	for _, c := range spec.InitContainers {
		if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
			return fmt.Sprintf("podTemplate's init container %q must have restartPolicy Always, which makes it a sidecar", c.Name)
		}
		if c.Name == InstallContainer {
			return fmt.Sprintf("podTemplate must not have a container named %q, which Sandkeep adds; rename it", c.Name)
		}
	}
	return ""
}

// safeVolumes refuses volumes that reach the node, hold Secrets, or hold a token that the sandbox must not have.
func safeVolumes(spec *corev1.PodSpec) string {
	for _, v := range spec.Volumes {
		if slices.Contains(reservedVolumes, v.Name) {
			return fmt.Sprintf("podTemplate must not have a volume named %q, which Sandkeep adds; rename it", v.Name)
		}
		if kind := forbiddenSource(v.VolumeSource); kind != "" {
			return fmt.Sprintf("podTemplate's volume %q is a %s, which a sandbox must not have; remove it", v.Name, kind)
		}
	}
	return ""
}

// forbiddenSource names what is wrong with a volume. It lists what is permitted, so that a kind of volume that nobody has thought of yet is
// refused.
func forbiddenSource(v corev1.VolumeSource) string {
	switch {
	case v.HostPath != nil:
		return "hostPath"
	case v.Secret != nil:
		return "secret"
	case v.Projected != nil:
		return forbiddenProjection(v.Projected)
	case v.EmptyDir != nil, v.ConfigMap != nil, v.DownwardAPI != nil, v.PersistentVolumeClaim != nil, v.Ephemeral != nil, v.Image != nil:
		return ""
	case v.CSI != nil:
		if v.CSI.NodePublishSecretRef != nil {
			return "csi volume with nodePublishSecretRef"
		}
		return ""
	default:
		return "volume of a kind that is not permitted (emptyDir, configMap, downwardAPI, persistentVolumeClaim, ephemeral, image and csi are)"
	}
}

func forbiddenProjection(p *corev1.ProjectedVolumeSource) string {
	for _, source := range p.Sources {
		if source.ConfigMap == nil && source.DownwardAPI == nil && source.ClusterTrustBundle == nil {
			return "projected volume with a Secret, a token or a certificate"
		}
	}
	return ""
}

func safeContainers(spec *corev1.PodSpec) string {
	for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
		if problem := unsafe(c); problem != "" {
			return fmt.Sprintf("podTemplate's container %q %s", c.Name, problem)
		}
	}
	return ""
}

func unsafe(c corev1.Container) string {
	if len(c.EnvFrom) > 0 {
		return "has envFrom, which brings variables nobody has listed; name each variable in env"
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			return fmt.Sprintf("takes variable %s from a Secret; make a Credential for the key instead", e.Name)
		}
		if strings.HasPrefix(e.Name, "SANDKEEP_") {
			return fmt.Sprintf("sets %s, but names that begin with SANDKEEP_ are reserved; rename it", e.Name)
		}
	}
	if sc := c.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
		return "is privileged, which a sandbox must not be; remove privileged"
	}
	for _, m := range c.VolumeMounts {
		if reservedPath(m.MountPath) {
			return fmt.Sprintf("mounts a volume at %s, where Sandkeep mounts its own; choose another path", m.MountPath)
		}
	}
	return ""
}

// reservedPath is true for the places of Sandkeep's own volumes. A volume below the workspace or the home, say a cache, is the class's
// business.
func reservedPath(p string) bool {
	p = path.Clean("/" + p)
	return p == contract.WorkspaceDir || p == contract.HomeDir || p == "/tmp" || p == "/sandkeep" || strings.HasPrefix(p, "/sandkeep/")
}
