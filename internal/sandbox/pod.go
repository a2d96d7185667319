package sandbox

import (
	"encoding/json"
	"maps"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// Names of the containers and volumes that Sandkeep adds. A class's template must not use those of the volumes.
const (
	// AgentContainer is the one container of a class's template.
	AgentContainer = "agent"
	// InstallContainer copies sandboxd into the sandbox, so that any image works.
	InstallContainer = "sandkeep-install"

	volumeBin         = "sandkeep-bin"
	volumeConfig      = "sandkeep-config"
	volumeCredentials = "sandkeep-credentials"
	volumePrivate     = "sandkeep-private"
	volumeWorkspace   = "sandkeep-workspace"
	volumeHome        = "sandkeep-home"
	volumeTmp         = "sandkeep-tmp"
	volumeGateway     = "sandkeep-gateway"
)

var reservedVolumes = []string{
	volumeBin, volumeConfig, volumeCredentials, volumePrivate, volumeWorkspace, volumeHome, volumeTmp, volumeGateway,
}

// PodInput is what a sandbox pod is made from.
type PodInput struct {
	Session *v1alpha1.Session
	Class   *v1alpha1.SessionClass
	// Config and Digest are the configuration of the run as its ConfigMap holds it.
	Config contract.Config
	Digest string
	// Image is the Sandkeep image, which holds sandboxd.
	Image string
}

// Pod is the sandbox of one run: the class's template with Sandkeep's parts added and what it leaves open hardened.
func Pod(in PodInput) *corev1.Pod {
	template := in.Class.Spec.PodTemplate.DeepCopy()
	labels := template.Labels
	if labels == nil {
		labels = map[string]string{}
	}
	labels[v1alpha1.LabelClass] = in.Class.Name
	run := in.Config.Session.Run
	pod := &corev1.Pod{
		ObjectMeta: objectMeta(in.Session, PodName(in.Session.Name, run), run, labels),
		Spec:       template.Spec,
	}
	pod.Annotations = podAnnotations(template.Annotations)
	pod.Finalizers = []string{v1alpha1.FinalizerResult}
	withForcedFields(&pod.Spec)
	withVolumes(&pod.Spec, in)
	withInstall(&pod.Spec, in)
	withAgent(&pod.Spec, in)
	withHardening(&pod.Spec)
	pod.Annotations[v1alpha1.AnnotationRecipe] = recipe(pod)
	return pod
}

// recipe identifies a pod as it was asked for, before the API server and others add to it. The digest of its configuration is part of
// the spec.
func recipe(pod *corev1.Pod) string {
	data, err := json.Marshal(pod.Spec)
	if err != nil {
		panic(err) // a PodSpec holds nothing that JSON cannot
	}
	return contract.Digest(data)
}

// podAnnotations asks the cluster autoscaler to leave sandboxes alone, unless the class says otherwise: a moved agent starts over.
func podAnnotations(ofClass map[string]string) map[string]string {
	annotations := map[string]string{"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
	maps.Copy(annotations, ofClass)
	return annotations
}

// withForcedFields overwrites what a class must not decide.
func withForcedFields(spec *corev1.PodSpec) {
	spec.RestartPolicy = corev1.RestartPolicyNever
	spec.ServiceAccountName = ""
	spec.DeprecatedServiceAccount = ""
	spec.AutomountServiceAccountToken = new(false)
	spec.HostNetwork, spec.HostPID, spec.HostIPC = false, false, false
	spec.ShareProcessNamespace = nil
	spec.NodeName = ""
	spec.ReadinessGates = nil        // the pod is ready when the agent is at work, and nobody else has a say
	spec.ActiveDeadlineSeconds = nil // the Session's own deadline also counts the time between runs
	spec.EnableServiceLinks = new(false)
}

// withInstall puts the init container first that copies sandboxd in. It also refers to every key that the kubelet brings, so
// that a missing Secret shows in its status, whatever the delivery: a failed mount would show in an Event only.
func withInstall(spec *corev1.PodSpec, in PodInput) {
	install := corev1.Container{
		Name:    InstallContainer,
		Image:   in.Image,
		Command: []string{"/sandboxd", "install", contract.BinDir},
		Env:     keyEnv(in.Config.Credentials, contract.Credential.ByReference),
		VolumeMounts: []corev1.VolumeMount{
			{Name: volumeBin, MountPath: contract.BinDir},
		},
		Resources: installResources(),
	}
	spec.InitContainers = append([]corev1.Container{install}, spec.InitContainers...)
}

// withAgent makes sandboxd the program of the agent container.
func withAgent(spec *corev1.PodSpec, in PodInput) {
	agent := &spec.Containers[0]
	sandboxd := path.Join(contract.BinDir, "sandboxd")
	agent.Command = []string{sandboxd, "run"}
	agent.Args = nil
	agent.WorkingDir = contract.WorkspaceDir
	agent.TerminationMessagePath = contract.TerminationLog
	agent.TerminationMessagePolicy = corev1.TerminationMessageReadFile
	agent.Stdin, agent.StdinOnce, agent.TTY = false, false, false
	agent.Lifecycle, agent.LivenessProbe, agent.ReadinessProbe = nil, nil, nil
	agent.RestartPolicy, agent.RestartPolicyRules = nil, nil // a container's own policy would overrule the pod's
	agent.StartupProbe = startedProbe(sandboxd)
	agent.Env = append(agent.Env, corev1.EnvVar{Name: contract.ConfigDigestEnv, Value: in.Digest})
	agent.Env = append(agent.Env, keyEnv(in.Config.Credentials, func(c contract.Credential) bool {
		return c.Delivery == contract.DeliveryEnv && c.ByReference()
	})...)
	agent.VolumeMounts = append(agent.VolumeMounts, agentMounts(in.Config)...)
	agent.Resources = resourcesFor(agent.Resources, in.Session.Spec.Resources)
}

// startedProbe succeeds once the agent is at work. It never gives up, since sandboxd bounds the time of a clone itself.
func startedProbe(sandboxd string) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{sandboxd, "ready"}}},
		PeriodSeconds:    1,
		TimeoutSeconds:   10,
		FailureThreshold: 1 << 20,
	}
}

// keyEnv refers to the Secrets of credentials; the kubelet reads them, Sandkeep's manager never does.
func keyEnv(credentials []contract.Credential, wanted func(contract.Credential) bool) []corev1.EnvVar {
	var env []corev1.EnvVar
	for i, c := range credentials {
		if !wanted(c) {
			continue
		}
		env = append(env, corev1.EnvVar{
			Name: contract.APIKeyEnv(i),
			ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: c.SecretName},
				Key:                  c.SecretKey,
			}},
		})
	}
	return env
}

func agentMounts(c contract.Config) []corev1.VolumeMount {
	mounts := []corev1.VolumeMount{
		{Name: volumeBin, MountPath: contract.BinDir, ReadOnly: true},
		{Name: volumeConfig, MountPath: contract.ConfigDir, ReadOnly: true},
		{Name: volumePrivate, MountPath: contract.PrivateDir},
		{Name: volumeWorkspace, MountPath: contract.WorkspaceDir},
		{Name: volumeHome, MountPath: contract.HomeDir},
		{Name: volumeTmp, MountPath: "/tmp"},
	}
	if c.Gateway != nil {
		mounts = append(mounts, corev1.VolumeMount{Name: volumeGateway, MountPath: contract.GatewayDir, ReadOnly: true})
	}
	if usesFiles(c) {
		mounts = append(mounts, corev1.VolumeMount{Name: volumeCredentials, MountPath: contract.CredentialsDir, ReadOnly: true})
	}
	return mounts
}

// usesFiles is true where the kubelet brings a key as a file.
func usesFiles(c contract.Config) bool { return slices.ContainsFunc(c.Credentials, isMounted) }

func isMounted(c contract.Credential) bool {
	return c.Delivery == contract.DeliveryFile && c.ByReference()
}

// Workspace is the volume claim of a Session, or nil when its workspace lives and dies with each pod.
func Workspace(s *v1alpha1.Session, class *v1alpha1.SessionClass) *corev1.PersistentVolumeClaim {
	w := workspaceFor(s, class)
	if w == nil {
		return nil
	}
	size := defaultWorkspaceSize
	if w.Size != nil {
		size = *w.Size
	}
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: objectMeta(s, WorkspaceName(s.Name), 0, nil),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}
	if w.StorageClassName != "" {
		claim.Spec.StorageClassName = new(w.StorageClassName)
	}
	return claim
}

// workspaceFor is what the Session asks for, with the class's answers where it leaves something open; nil when neither asks.
func workspaceFor(s *v1alpha1.Session, class *v1alpha1.SessionClass) *v1alpha1.Workspace {
	asked, ofClass := s.Spec.Workspace, class.Spec.Workspace
	if asked == nil || ofClass == nil {
		if asked != nil {
			return asked
		}
		return ofClass
	}
	merged := *asked
	if merged.Size == nil {
		merged.Size = ofClass.Size
	}
	if merged.StorageClassName == "" {
		merged.StorageClassName = ofClass.StorageClassName
	}
	return &merged
}

// OwnedBy says whether an object was made for exactly this Session: a namesake of an earlier life has another UID.
func OwnedBy(o metav1.Object, s *v1alpha1.Session) bool {
	return metav1.IsControlledBy(o, s)
}
