package credential

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestACredentialIsJudged(t *testing.T) {
	accepted := acceptance.Accepted(`Sessions get key "key" of Secret "anthropic-key"; whether it is there shows when one starts`)
	notFound := acceptance.Verdict{
		Reason:  v1alpha1.ReasonProviderNotFound,
		Message: `APIProvider "anthropic" not found; ask an admin to create it, or make a new Credential for another provider`,
	}
	credential := func() *build.CredentialBuilder { return build.Credential("shared").Secret("anthropic-key", "key") }
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.Credential]{
		"its provider exists": {
			Object: credential().Obj(), Others: []client.Object{build.Provider("anthropic").Obj()}, Want: accepted,
		},
		"its provider is not accepted, which is told elsewhere": {
			Object: credential().Obj(), Others: []client.Object{build.Provider("anthropic").NotReady("Invalid", "Because").Obj()}, Want: accepted,
		},
		"no provider exists":           {Object: credential().Obj(), Want: notFound},
		"only another provider exists": {Object: credential().Obj(), Others: []client.Object{build.Provider("openai").Obj()}, Want: notFound},
	})
}

func TestAProviderWakesItsCredentials(t *testing.T) {
	s := acceptancetest.NewStage(t,
		build.Credential("a").Obj(), build.Credential("b").Namespace("team-b").Obj(), build.Credential("o").Provider("openai").Obj())
	got := ofProvider(s.Client)(t.Context(), build.Provider("anthropic").Obj())
	want := []reconcile.Request{
		{NamespacedName: types.NamespacedName{Namespace: "team-a", Name: "a"}}, {NamespacedName: types.NamespacedName{Namespace: "team-b", Name: "b"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]reconcile.Request(nil), ofProvider(s.Client)(t.Context(), build.Provider("google").Obj())); diff != "" {
		t.Errorf("requests for a provider that nobody names (-want +got):\n%s", diff)
	}
}

func TestACredentialIsAcceptedOnceItsProviderComes(t *testing.T) {
	credential := build.Credential("shared").Obj()
	s := acceptancetest.NewStage(t, credential.DeepCopy())
	r := reconcilerFor(s.Base())
	for _, step := range []func() error{
		func() error { return nil },
		func() error { return s.Client.Create(t.Context(), build.Provider("anthropic").Obj()) },
		func() error { return s.Client.Delete(t.Context(), build.Provider("anthropic").Obj()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		if err := acceptancetest.Reconcile(t, s, r, credential); err != nil {
			t.Fatal(err)
		}
	}
	notFound := `Warning ProviderNotFound: APIProvider "anthropic" not found; ask an admin to create it, or make a new Credential for another provider`
	want := []string{
		notFound,
		`Normal Accepted: Sessions get key "api-key" of Secret "shared"; whether it is there shows when one starts`,
		notFound,
	}
	if diff := cmp.Diff(want, s.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
