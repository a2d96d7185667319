package install

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func configMap(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": name, "namespace": "default"},
	}}
}

// failing answers the first calls of Apply with these errors.
func failing(failures ...error) (client.Client, *int) {
	calls := 0
	return fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, options ...client.ApplyOption) error {
			calls++
			if calls <= len(failures) {
				return failures[calls-1]
			}
			return c.Apply(ctx, o, options...)
		},
	}).Build(), &calls
}

func TestApplyTriesAgainUntilTheAPIServerKnowsTheKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, calls := failing(&meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "Session"}}, errors.New(".spec.new: field not declared in schema"))
		if err := Apply(t.Context(), c, []*unstructured.Unstructured{configMap("a")}); err != nil {
			t.Fatal(err)
		}
		if *calls != 3 {
			t.Errorf("%d calls, want 3", *calls)
		}
	})
}

func TestApplyGivesUpAtOnceOnAnErrorThatStays(t *testing.T) {
	c, calls := failing(errors.New("quota exceeded"))
	err := Apply(t.Context(), c, []*unstructured.Unstructured{configMap("a"), configMap("b")})
	if err == nil || !strings.Contains(err.Error(), "apply ConfigMap a") || !strings.Contains(err.Error(), "quota exceeded") {
		t.Errorf("got %v, want what was applied and why it failed", err)
	}
	if *calls != 1 {
		t.Errorf("%d calls, want one", *calls)
	}
}

func TestApplyDoesWithoutWhatAnOlderClusterDoesNotKnow(t *testing.T) {
	stamp := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": map[string]any{"name": "a"},
	}}
	c, calls := failing(&meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "MutatingAdmissionPolicy"}})
	if err := Apply(t.Context(), c, []*unstructured.Unstructured{stamp, configMap("b")}); err != nil {
		t.Fatal(err)
	}
	if *calls != 2 {
		t.Errorf("%d calls, want one for each object", *calls)
	}
	c, _ = failing(errors.New("forbidden"))
	if err := Apply(t.Context(), c, []*unstructured.Unstructured{stamp}); err == nil {
		t.Error("another error is passed over")
	}
}

func TestRolledOut(t *testing.T) {
	done := appsv1.DeploymentStatus{ObservedGeneration: 2, UpdatedReplicas: 2, Replicas: 2, AvailableReplicas: 2}
	for name, test := range map[string]struct {
		change func(*appsv1.DeploymentStatus)
		want   bool
	}{
		"all pods are new and available":   {func(*appsv1.DeploymentStatus) {}, true},
		"nobody has looked at the change":  {func(s *appsv1.DeploymentStatus) { s.ObservedGeneration = 1 }, false},
		"a pod is still to be made":        {func(s *appsv1.DeploymentStatus) { s.UpdatedReplicas = 1 }, false},
		"an old pod is still there":        {func(s *appsv1.DeploymentStatus) { s.Replicas = 3 }, false},
		"a pod is not available":           {func(s *appsv1.DeploymentStatus) { s.AvailableReplicas = 1 }, false},
		"nothing has been observed at all": {func(s *appsv1.DeploymentStatus) { *s = appsv1.DeploymentStatus{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: new(int32(2))}, Status: done}
			d.Generation = 2
			test.change(&d.Status)
			if got := rolledOut(d); got != test.want {
				t.Errorf("got %t, want %t", got, test.want)
			}
		})
	}
}

// A Deployment that does not come up is explained by what its pods wait for.
func TestRollOutSaysWhatStandsInTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		labels := map[string]string{"app": "x"}
		deployment := &appsv1.Deployment{
			TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "n"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x-1", Namespace: "n", Labels: labels}, Status: corev1.PodStatus{
			ContainerStatuses: []corev1.ContainerStatus{{Name: "manager", State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"},
			}}},
		}}
		c := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(deployment, pod).Build()
		o := ofKinds("Deployment")
		o[0].SetName("x")
		o[0].SetNamespace("n")
		err := RollOut(t.Context(), c, &strings.Builder{}, o)
		for _, part := range []string{"deployment x in namespace n", "pod x-1, container manager: ImagePullBackOff: no such image", "kubectl -n n describe pods"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v lacks %q", err, part)
			}
		}
	})
}
