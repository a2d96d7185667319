package redteam

import (
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// What the refusals of the manager's pods begin with.
const (
	placedWrong  = "sandkeep-manager-pods: There are no sandboxes in namespace "
	noSandbox    = "sandkeep-manager-pods: The manager creates sandboxes only"
	wrongToken   = `sandkeep-manager-pods: A sandbox runs as ServiceAccount "default" without its token`
	sharesNode   = "sandkeep-manager-pods: A sandbox shares no namespaces and no ports with its node"
	wrongVolume  = "sandkeep-manager-pods: A sandbox has no volumes of its node"
	wrongEnv     = "sandkeep-manager-pods: A sandbox has variables from Secrets only where Credentials name them"
	unrestricted = "sandkeep-manager-pods: A sandbox meets the Restricted Pod Security Standard"
	wrongChange  = "sandkeep-manager-pods: The manager changes sandboxes only, and never their images"
)

// TestWhoeverTakesOverTheManagerGetsSandboxesOnly tries what else could be made of the right to create pods everywhere.
func TestWhoeverTakesOverTheManagerGetsSandboxesOnly(t *testing.T) {
	attempts := map[string]attempt{
		"a plain pod":                        {manager, create(pod(func(*place, *corev1.Pod) {})), noSandbox},
		"a label on a pod that is another's": {manager, patch(podNamed(ownName), tree{"metadata": tree{"labels": tree{v1alpha1.LabelSession: "x"}}}), wrongChange},
		"another image for the agent": {
			manager, strategic(sandboxName, tree{"spec": tree{"containers": []tree{{"name": "agent", "image": "registry.example/evil:1"}}}}), wrongChange,
		},
	}
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"in kube-system":                {func(p *corev1.Pod) { p.Namespace = metav1.NamespaceSystem }, placedWrong + "kube-system"},
		"beside the programs":           {func(p *corev1.Pod) { p.Namespace = v1alpha1.NamespaceSystem }, placedWrong + "sandkeep-system"},
		"without the Session's label":   {func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelSession) }, noSandbox},
		"with another Session's label":  {func(p *corev1.Pod) { p.Labels[v1alpha1.LabelSession] = "other" }, noSandbox},
		"without an owner":              {func(p *corev1.Pod) { p.OwnerReferences = nil }, noSandbox},
		"with an owner that is another": {func(p *corev1.Pod) { p.OwnerReferences[0].APIVersion, p.OwnerReferences[0].Kind = "v1", "ConfigMap" }, noSandbox},
		"with the token of its account": {func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = nil }, wrongToken},
		"with a token for the API":      {func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, tokenVolume("")) }, wrongToken},
		"with a token for somebody":     {func(p *corev1.Pod) { p.Spec.Volumes = append(p.Spec.Volumes, tokenVolume("sts.example")) }, wrongToken},
		"as another account":            {func(p *corev1.Pod) { p.Spec.ServiceAccountName = "builder" }, wrongToken},
		"in the node's network":         {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, sharesNode},
		"among the node's processes":    {func(p *corev1.Pod) { p.Spec.HostPID = true }, sharesNode},
		"with the node's memory":        {func(p *corev1.Pod) { p.Spec.HostIPC = true }, sharesNode},
		"on a port of the node": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: 80, ContainerPort: 80}}
		}, sharesNode},
		"with a folder of the node": {withVolume(corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}), wrongVolume},
		"with a Secret as a volume": {withVolume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "x"}}), wrongVolume},
		"with a Secret among others": {withVolume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}},
		}}}), wrongVolume},
		"with a Secret for a driver": {withVolume(corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{
			Driver: "x", NodePublishSecretRef: &corev1.LocalObjectReference{Name: "x"},
		}}), wrongVolume},
		"with a variable from a Secret": {func(p *corev1.Pod) {
			p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "X", ValueFrom: &corev1.EnvVarSource{
				SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}, Key: "x"},
			}})
		}, wrongEnv},
		"with all variables from a Secret": {func(p *corev1.Pod) {
			p.Spec.InitContainers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "x"}}}}
		}, wrongEnv},
		"as root":                          {secured(func(s *corev1.SecurityContext) { s.RunAsUser = new(int64(0)) }), unrestricted},
		"maybe as root":                    {secured(func(s *corev1.SecurityContext) { s.RunAsNonRoot = new(false) }), unrestricted},
		"maybe as root, all of it":         {func(p *corev1.Pod) { p.Spec.SecurityContext.RunAsNonRoot = nil }, unrestricted},
		"with more privileges later":       {secured(func(s *corev1.SecurityContext) { s.AllowPrivilegeEscalation = nil }), unrestricted},
		"privileged":                       {secured(func(s *corev1.SecurityContext) { s.Privileged, s.AllowPrivilegeEscalation = new(true), new(true) }), unrestricted},
		"with a capability":                {secured(func(s *corev1.SecurityContext) { s.Capabilities.Add = []corev1.Capability{"SYS_ADMIN"} }), unrestricted},
		"with all capabilities by default": {secured(func(s *corev1.SecurityContext) { s.Capabilities = nil }), unrestricted},
		"without a seccomp profile": {secured(func(s *corev1.SecurityContext) {
			s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		}), unrestricted},
		"with an init container that is root": {func(p *corev1.Pod) { p.Spec.InitContainers[0].SecurityContext.RunAsUser = new(int64(0)) }, unrestricted},
	} {
		attempts["a sandbox "+name] = attempt{manager, createSandbox(t, "file-delivery.yaml", c.change), c.want}
	}
	place := newPlace(t)
	place.permitAnyPod(t)
	tryAll(t, place, attempts)
}

// TestEverySandboxPasses makes every pod that Sandkeep is known to make.
func TestEverySandboxPasses(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(cluster.Root(t), "internal/sandbox/testdata/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pods (%v)", err)
	}
	attempts := map[string]attempt{}
	for _, file := range files {
		attempts[filepath.Base(file)] = attempt{manager, createSandbox(t, filepath.Base(file), func(p *corev1.Pod) {
			p.Spec.PriorityClassName, p.Spec.RuntimeClassName = "", nil // which the cluster does not have
		}), ""}
	}
	tryAll(t, newPlace(t), attempts)
}

// createSandbox makes a pod as Sandkeep makes it, with a change.
func createSandbox(t *testing.T, file string, change func(*corev1.Pod)) deed {
	return create(func(p *place) client.Object {
		pod := goldenPod(t, file)
		pod.Name, pod.Namespace, pod.OwnerReferences[0].UID = "fix-login-sandbox-2", p.namespace, p.sandbox.OwnerReferences[0].UID
		change(pod)
		return pod
	})
}

func withVolume(source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: "more", VolumeSource: source})
	}
}

func secured(change func(*corev1.SecurityContext)) func(*corev1.Pod) {
	return func(p *corev1.Pod) { change(p.Spec.Containers[0].SecurityContext) }
}

// permitAnyPod takes from the namespace the standard that would refuse a pod before our own policy is asked.
func (p *place) permitAnyPod(t *testing.T) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	change := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`))
	if err := p.api.Patch(t.Context(), namespace, change); err != nil {
		t.Fatal(err)
	}
	p.createFor(t, &corev1.ServiceAccount{ObjectMeta: p.named("builder")})
}
