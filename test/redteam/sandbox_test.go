package redteam

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sandkeep/sandkeep/api/v1alpha1"
)

// What the refusals of pods that look like sandboxes begin with.
const (
	forgedLabel     = "sandkeep-sandbox-pods: Labels of sandkeep.dev mark the sandboxes of Sessions"
	changedLabel    = "sandkeep-sandbox-pods: Labels of sandkeep.dev on pods are set, changed and removed by Sandkeep only"
	forgedOwner     = "sandkeep-sandbox-pods: Owners of group sandkeep.dev are set, changed and removed on pods by Sandkeep only"
	forgedToken     = "sandkeep-sandbox-pods: Tokens of audience sandkeep-gateway are for the sandboxes of Sessions"
	forgedFinalizer = "sandkeep-sandbox-pods: The finalizer sandkeep.dev/result is set and removed by Sandkeep only"
	changedImage    = "sandkeep-sandbox-pods: The images of a sandbox do not change"
)

// TestI3NobodyForgesASandbox tries what would make the gateway, or a reconciler, take another pod for a sandbox.
func TestI3NobodyForgesASandbox(t *testing.T) {
	label := func(labels tree) tree { return tree{"metadata": tree{"labels": labels}} }
	image := func(list, container string) tree {
		return tree{"spec": tree{list: []tree{{"name": container, "image": "registry.example/evil:1"}}}}
	}
	tryAll(t, newPlace(t), map[string]attempt{
		"a pod with the label of a Session": {editor, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Labels = map[string]string{v1alpha1.LabelSession: sessionName}
		})), forgedLabel},
		"a pod with another label of ours": {editor, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Labels = map[string]string{v1alpha1.LabelRun: "1"}
		})), forgedLabel},
		"a pod with every right and the label": {everyRight, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Labels = map[string]string{v1alpha1.LabelSession: sessionName}
		})), forgedLabel},
		"a pod that a Session owns": {editor, create(pod(func(p *place, pod *corev1.Pod) {
			pod.OwnerReferences = []metav1.OwnerReference{ownedBySession(p)}
		})), forgedOwner},
		"a pod with a token for the gateway": {editor, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Spec.Volumes = []corev1.Volume{tokenVolume(v1alpha1.TokenAudience)}
		})), forgedToken},
		"a pod with the finalizer": {editor, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Finalizers = []string{v1alpha1.FinalizerResult}
		})), forgedFinalizer},

		"the label on a pod of one's own":           {editor, patch(podNamed(ownName), label(tree{v1alpha1.LabelSession: sessionName})), changedLabel},
		"the label by way of the pod's status":      {everyRight, patch(podNamed(ownName), label(tree{v1alpha1.LabelSession: sessionName}), "status"), changedLabel},
		"another Session's name on a sandbox":       {editor, patch(podNamed(sandboxName), label(tree{v1alpha1.LabelSession: "other"})), changedLabel},
		"no label on a sandbox":                     {editor, patch(podNamed(sandboxName), label(tree{v1alpha1.LabelSession: nil})), changedLabel},
		"no label by way of the sandbox's status":   {everyRight, patch(podNamed(sandboxName), label(tree{v1alpha1.LabelRun: nil}), "status"), changedLabel},
		"no owner of a sandbox":                     {editor, patch(podNamed(sandboxName), tree{"metadata": tree{"ownerReferences": nil}}), forgedOwner},
		"no finalizer on a sandbox":                 {editor, patch(podNamed(sandboxName), tree{"metadata": tree{"finalizers": nil}}), forgedFinalizer},
		"the finalizer on a pod of one's own":       {editor, patch(podNamed(ownName), tree{"metadata": tree{"finalizers": []string{v1alpha1.FinalizerResult}}}), forgedFinalizer},
		"another image for the agent":               {editor, strategic(sandboxName, image("containers", "agent")), changedImage},
		"another image for what installs sandboxd":  {editor, strategic(sandboxName, image("initContainers", "sandkeep-install")), changedImage},
		"another image by one who has every right":  {everyRight, strategic(sandboxName, image("containers", "agent")), changedImage},
		"a token for the gateway":                   {editor, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway and somebody else": {editor, requestToken("somebody", v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway, with every right": {everyRight, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway, as an admin":      {admin, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway, as the manager":   {manager, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway, as the keeper":    {keeper, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a token for the gateway, as the gateway":   {gateway, requestToken(v1alpha1.TokenAudience), mintedToken},
		"a program in a sandbox":                    {editor, connect(sandboxName, "exec"), entered},
		"the streams of a sandbox":                  {editor, connect(sandboxName, "attach"), entered},
		"the ports of a sandbox":                    {editor, connect(sandboxName, "portforward"), entered},
		"a container in a sandbox":                  {debugger, debug(sandboxName), entered},
	})
}

const (
	mintedToken = "sandkeep-sandbox-tokens: Tokens of audience sandkeep-gateway are requested by nodes only"
	entered     = `sandkeep-sandbox-exec: Pod fix-login-sandbox-1 is the sandbox of Session fix-login; to enter it, ask for the verb "exec" on that Session, which an admin gives by: kubectl -n `
)

// TestWhatPodsNeedPasses does what people, controllers and nodes do with pods.
func TestWhatPodsNeedPasses(t *testing.T) {
	tryAll(t, newPlace(t), map[string]attempt{
		"a pod of one's own": {editor, create(pod(func(*place, *corev1.Pod) {})), ""},
		"a pod with a token for somebody else": {editor, create(pod(func(_ *place, pod *corev1.Pod) {
			pod.Spec.Volumes = []corev1.Volume{tokenVolume("somebody"), tokenVolume("")}
			pod.Spec.Volumes[1].Name = "other"
		})), ""},
		"a label on a pod of one's own":        {editor, patch(podNamed(ownName), tree{"metadata": tree{"labels": tree{"a": "b"}}}), ""},
		"an image in a pod of one's own":       {editor, strategic(ownName, tree{"spec": tree{"containers": []tree{{"name": "agent", "image": "registry.example/b:1"}}}}), ""},
		"a label on a sandbox":                 {editor, patch(podNamed(sandboxName), tree{"metadata": tree{"labels": tree{"a": "b"}}}), ""},
		"an annotation on a sandbox":           {editor, patch(podNamed(sandboxName), tree{"metadata": tree{"annotations": tree{"a": "b"}}}), ""},
		"the end of a sandbox":                 {editor, remove(podNamed(sandboxName)), ""},
		"a token for somebody else":            {editor, requestToken("somebody"), ""},
		"a token for the API server":           {editor, requestToken(), ""},
		"a program in a pod of one's own":      {editor, connect(ownName, "exec"), ""},
		"a container in a pod of one's own":    {debugger, debug(ownName), ""},
		"a program in a sandbox, if permitted": {entrant, connect(sandboxName, "exec"), ""},
		"the ports of a sandbox, if permitted": {entrant, connect(sandboxName, "portforward"), ""},
		"a program in a sandbox, as an admin":  {admin, connect(sandboxName, "exec"), ""},
		"every right enters":                   {everyRight, connect(sandboxName, "attach"), ""},
		"a token, as a node":                   {node, requestToken(v1alpha1.TokenAudience), ""},
		"status of a sandbox, as a node":       {node, patch(podNamed(sandboxName), tree{"status": tree{"message": "x"}}, "status"), ""},
		"status of a pod, as a scheduler":      {everyRight, patch(podNamed(sandboxName), tree{"status": tree{"nominatedNodeName": "x"}}, "status"), ""},
		"an opened gate, as a queue":           {everyRight, patch(podNamed(sandboxName), tree{"spec": tree{"schedulingGates": nil}}), ""},
		"no owner, as the garbage collector":   {collector, patch(podNamed(sandboxName), tree{"metadata": tree{"ownerReferences": nil}}), ""},
		"no finalizer, as an admin":            {admin, patch(podNamed(sandboxName), tree{"metadata": tree{"finalizers": nil}}), ""},
		"no finalizer, as the manager":         {manager, patch(podNamed(sandboxName), tree{"metadata": tree{"finalizers": nil}}), ""},
		"labels put back, as the manager":      {manager, patch(podNamed(sandboxName), tree{"metadata": tree{"labels": tree{v1alpha1.LabelRun: "1"}}}), ""},
		"an end, as the manager":               {manager, patch(podNamed(sandboxName), tree{"spec": tree{"activeDeadlineSeconds": 1}}), ""},
	})
}

// A controller of Kubernetes makes pods as the template of a user says. It is not the manager either, and says why it cannot.
func TestI3NobodyForgesASandboxThroughAController(t *testing.T) {
	p := newPlace(t)
	labels := map[string]string{"app": "forged", v1alpha1.LabelSession: sessionName}
	set := &appsv1.ReplicaSet{ObjectMeta: p.named("forged"), Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: plainPod(p).Spec},
	}}
	p.createFor(t, set)
	var told string
	p.await(t, "a condition of the ReplicaSet", func(ctx context.Context) (bool, error) {
		err := p.api.Get(ctx, client.ObjectKeyFromObject(set), set)
		for _, c := range set.Status.Conditions {
			told = c.Message
		}
		return told != "", err
	})
	if _, message, _ := strings.Cut(forgedLabel, ": "); !strings.Contains(told, message) {
		t.Errorf("the ReplicaSet should say %q, and says %q", message, told)
	}
}
