package sessionclass

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestASessionClassIsJudged(t *testing.T) {
	accepted := acceptance.Accepted("Sessions can use this class")
	invalid := func(problem string) acceptance.Verdict {
		return acceptance.Verdict{Stalled: true, Reason: v1alpha1.ReasonInvalidTemplate, Message: "Field podTemplate" + problem}
	}
	notFound := acceptance.Verdict{
		Reason: v1alpha1.ReasonProviderNotFound, Message: `APIProvider "anthropic", which the class requires, not found; create it`,
	}
	class := func() *build.ClassBuilder { return build.Class("opencode") }
	env := v1alpha1.DeliveryEnv
	anthropic := []client.Object{build.Provider("anthropic").Obj()}
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.SessionClass]{
		"a class that asks for nothing":              {Object: class().Obj(), Want: accepted},
		"a class whose required provider exists":     {Object: class().Credential("anthropic", v1alpha1.RequirementRequired, env).Obj(), Others: anthropic, Want: accepted},
		"a class whose optional provider is missing": {Object: class().Credential("openai", v1alpha1.RequirementOptional, env).Obj(), Want: accepted},
		"a class of which one of any is missing":     {Object: class().Credential("openai", v1alpha1.RequirementAnyOf, env).Obj(), Want: accepted},
		"a class whose required provider is missing": {Object: class().Credential("anthropic", v1alpha1.RequirementRequired, env).Obj(), Want: notFound},
		"a class of which the second required provider is missing": {
			Object: class().Credential("openai", v1alpha1.RequirementRequired, env).Credential("anthropic", v1alpha1.RequirementRequired, env).Obj(),
			Others: []client.Object{build.Provider("openai").Obj()}, Want: notFound,
		},
		"a class without an agent": {
			Object: class().AgentContainer(func(c *corev1.Container) { c.Name = "main" }).Obj(),
			Want:   invalid(` must have exactly one container, named "agent"; make helpers init containers with restartPolicy Always`),
		},
		"a class that reaches its node": {
			Object: class().Template(func(s *corev1.PodSpec) {
				s.Volumes = []corev1.Volume{{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
			}).Obj(),
			Want: invalid(`'s volume "host" is a hostPath, which a sandbox must not have; remove it`),
		},
		"what only the admin can mend goes before what may come": {
			Object: class().Credential("anthropic", v1alpha1.RequirementRequired, env).
				AgentContainer(func(c *corev1.Container) { c.Image = "" }).Obj(),
			Want: invalid(`'s container "agent" has no image; name one that holds the agent and git`),
		},
	})
}

func TestAProviderWakesEveryClass(t *testing.T) {
	s := acceptancetest.NewStage(t, build.Class("a").Obj(), build.Class("b").Obj())
	got := allClasses(s.Client)(t.Context(), build.Provider("anthropic").Obj())
	want := []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "a"}}, {NamespacedName: types.NamespacedName{Name: "b"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}
