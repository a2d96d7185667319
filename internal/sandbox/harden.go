package sandbox

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// sandboxUser is the uid and gid of agents where the class names none.
const sandboxUser = 10001

// withHardening fills in what the template leaves unset, so that the pod passes the Restricted Pod Security Standard
// (https://kubernetes.io/docs/concepts/security/pod-security-standards/). What a class sets stays: a namespace that enforces the standard
// refuses it, and the Session says so.
func withHardening(spec *corev1.PodSpec) {
	if spec.TerminationGracePeriodSeconds == nil || *spec.TerminationGracePeriodSeconds <= 0 {
		spec.TerminationGracePeriodSeconds = new(int64(defaultGracePeriod))
	}
	spec.SecurityContext = hardenedPod(spec.SecurityContext)
	for i := range spec.InitContainers {
		harden(&spec.InitContainers[i])
		withSidecarResources(&spec.InitContainers[i].Resources)
	}
	for i := range spec.Containers {
		harden(&spec.Containers[i])
	}
}

func hardenedPod(sc *corev1.PodSecurityContext) *corev1.PodSecurityContext {
	if sc == nil {
		sc = &corev1.PodSecurityContext{}
	}
	setDefault(&sc.RunAsNonRoot, true)
	setDefault(&sc.RunAsUser, sandboxUser)
	setDefault(&sc.RunAsGroup, sandboxUser)
	setDefault(&sc.FSGroup, sandboxUser)
	setDefault(&sc.FSGroupChangePolicy, corev1.FSGroupChangeOnRootMismatch)
	setDefault(&sc.SeccompProfile, corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault})
	return sc
}

func harden(c *corev1.Container) {
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	setDefault(&c.SecurityContext.AllowPrivilegeEscalation, false)
	setDefault(&c.SecurityContext.ReadOnlyRootFilesystem, true)
	setDefault(&c.SecurityContext.Capabilities, corev1.Capabilities{Drop: []corev1.Capability{"ALL"}})
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
	}
}

// setDefault sets a field that is nil.
func setDefault[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// Resources of an agent whose class names none: enough for an agent and a test suite, and a fence for the node.
var (
	defaultRequests = corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("250m"),
		corev1.ResourceMemory:           resource.MustParse("512Mi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Gi"),
	}
	defaultLimits = corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("4"),
		corev1.ResourceMemory:           resource.MustParse("4Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("20Gi"),
	}
)

// resourcesFor are the defaults, with those of the class over them, and those of the Session on top; a request is cut to its
// limit, since only one of the two may come from a lower layer.
func resourcesFor(ofClass corev1.ResourceRequirements, asked *v1alpha1.Resources) corev1.ResourceRequirements {
	if asked == nil {
		asked = &v1alpha1.Resources{}
	}
	r := corev1.ResourceRequirements{
		Requests: layered(defaultRequests, ofClass.Requests, asked.Requests),
		Limits:   layered(defaultLimits, ofClass.Limits, asked.Limits),
		Claims:   ofClass.Claims,
	}
	for name, request := range r.Requests {
		if most, ok := r.Limits[name]; ok && request.Cmp(most) > 0 {
			if _, explicit := asked.Requests[name]; explicit {
				r.Limits[name] = request
				continue
			}
			r.Requests[name] = most
		}
	}
	return r
}

// Resources of a helper whose class names none.
var (
	sidecarRequests = corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("50m"),
		corev1.ResourceMemory: resource.MustParse("64Mi"),
	}
	sidecarLimits = corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("1"),
		corev1.ResourceMemory: resource.MustParse("512Mi"),
	}
)

// withSidecarResources leaves alone what names limits or requests of its own, and fences in what names none.
func withSidecarResources(r *corev1.ResourceRequirements) {
	if len(r.Requests) == 0 && len(r.Limits) == 0 {
		r.Requests, r.Limits = layered(sidecarRequests), layered(sidecarLimits)
	}
}

func layered(lists ...corev1.ResourceList) corev1.ResourceList {
	merged := corev1.ResourceList{}
	for _, list := range lists {
		maps.Copy(merged, list)
	}
	return merged
}

// installResources are what copying a file takes.
func installResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("10m"),
			corev1.ResourceMemory: resource.MustParse("16Mi"),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("1"),
			corev1.ResourceMemory: resource.MustParse("64Mi"),
		},
	}
}
