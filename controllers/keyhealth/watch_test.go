package keyhealth

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/observation"
)

func TestOnlyNewsWakesCredentials(t *testing.T) {
	noon := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	seen := func(kind v1alpha1.CredentialKind, namespace, name string, used time.Time) observation.Observation {
		return observation.Observation{Ref: observation.Ref{Kind: kind, Namespace: namespace, Name: name}, LastUsedTime: used}
	}
	const cluster, own = v1alpha1.CredentialKindClusterCredential, v1alpha1.CredentialKindCredential
	before := []observation.Observation{seen(cluster, "", "a", noon), seen(cluster, "", "b", noon), seen(own, "team", "a", noon), seen(cluster, "", "gone", noon)}
	after := []observation.Observation{seen(cluster, "", "a", noon), seen(cluster, "", "b", noon.Add(1)), seen(own, "team", "a", noon.Add(1)), seen(cluster, "", "new", noon)}
	cases := map[string]struct {
		kind          v1alpha1.CredentialKind
		before, after []observation.Observation
		want          []types.NamespacedName
	}{
		"changes of ClusterCredentials": {cluster, before, after, []types.NamespacedName{{Name: "b"}, {Name: "gone"}, {Name: "new"}}},
		"changes of Credentials":        {own, before, after, []types.NamespacedName{{Namespace: "team", Name: "a"}}},
		"nothing new":                   {cluster, before, before, nil},
		"a new replica":                 {own, nil, after, []types.NamespacedName{{Namespace: "team", Name: "a"}}},
		"a replica is gone":             {own, before, nil, []types.NamespacedName{{Namespace: "team", Name: "a"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var got []types.NamespacedName
			for _, request := range news(c.kind, c.before, c.after) {
				got = append(got, request.NamespacedName)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("woken (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOtherConfigMapsWakeNobody(t *testing.T) {
	text := observation.Encode([]observation.Observation{{Ref: observation.Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: "a"}}})
	labelled := metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelObservations: "true"}}
	cases := map[string]struct {
		cm   *corev1.ConfigMap
		want int
	}{
		"observations":           {&corev1.ConfigMap{ObjectMeta: labelled, Data: map[string]string{observation.ConfigMapKey: text}}, 1},
		"no label":               {&corev1.ConfigMap{Data: map[string]string{observation.ConfigMapKey: text}}, 0},
		"another entry":          {&corev1.ConfigMap{ObjectMeta: labelled, Data: map[string]string{"other": text}}, 0},
		"what no gateway writes": {&corev1.ConfigMap{ObjectMeta: labelled, Data: map[string]string{observation.ConfigMapKey: "{"}}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			on := OnObservations(v1alpha1.CredentialKindClusterCredential)
			for what, tell := range map[string]func(workqueue.TypedRateLimitingInterface[reconcile.Request]){
				"created": func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
					on.Create(t.Context(), event.CreateEvent{Object: c.cm}, q)
				},
				"deleted": func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
					on.Delete(t.Context(), event.DeleteEvent{Object: c.cm}, q)
				},
				"updated from nothing": func(q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
					on.Update(t.Context(), event.UpdateEvent{ObjectOld: &corev1.ConfigMap{}, ObjectNew: c.cm}, q)
				},
			} {
				queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[reconcile.Request]())
				tell(queue)
				if queue.Len() != c.want {
					t.Errorf("%s: %d are woken, want %d", what, queue.Len(), c.want)
				}
				queue.ShutDown()
			}
		})
	}
}
