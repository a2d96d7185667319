package install

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func node(name, arch string, status corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		NodeInfo:   corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: arch},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}},
	}}
}

func namespace(name, level string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"pod-security.kubernetes.io/enforce": level}}}
}

// clusterWith is a cluster of objects in which the user may do all but what is denied.
func clusterWith(denied string, objects ...runtime.Object) *fake.Clientset {
	clientset := fake.NewClientset(objects...)
	clientset.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		review.Status.Allowed = review.Spec.ResourceAttributes.Resource != denied
		return true, review, nil
	})
	discovery := clientset.Discovery().(*fakediscovery.FakeDiscovery)
	discovery.FakedServerVersion = &version.Info{GitVersion: "v1.35.2-gke.1", Minor: "35+"}
	discovery.Resources = []*metav1.APIResourceList{{GroupVersion: "kyverno.io/v1"}}
	return clientset
}

func TestLook(t *testing.T) {
	clientset := clusterWith("namespaces",
		node("a", "arm64", corev1.ConditionTrue), node("b", "amd64", corev1.ConditionTrue), node("c", "s390x", corev1.ConditionFalse),
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "slow"}},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}}},
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "calico-node", Namespace: "kube-system"}},
		namespace("strict", "restricted"), namespace("lax", "privileged"), namespace("sandkeep-system", "restricted"),
	)
	got, err := look(t.Context(), clientset)
	if err != nil {
		t.Fatal(err)
	}
	want := Facts{
		Version: "v1.35.2-gke.1", Minor: 35, Denied: []string{"create namespaces"}, DefaultStorageClass: "fast",
		Platforms: []string{"linux/amd64", "linux/arm64"}, NetworkPlugin: "calico", Policies: []string{"Kyverno"}, Enforcing: []string{"strict"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What a user may not read stays unknown, and is no reason to stop.
func TestLookGoesOnWhereReadingIsForbidden(t *testing.T) {
	clientset := clusterWith("")
	clientset.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "nodes"}, "", nil)
	})
	got, err := look(t.Context(), clientset)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Facts{Version: "v1.35.2-gke.1", Minor: 35, Platforms: []string{platform}, Policies: []string{"Kyverno"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLookTellsOfAServerThatDoesNotAnswer(t *testing.T) {
	clientset := clusterWith("")
	clientset.PrependReactor("list", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, context.DeadlineExceeded
	})
	if _, err := look(t.Context(), clientset); err == nil {
		t.Error("no error")
	}
}
