package apiprovider

import (
	"testing"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

func TestAnAPIProviderIsJudged(t *testing.T) {
	accepted := acceptance.Accepted("Agents can be told about this provider")
	unreached := acceptance.Accepted("Agents can be told about this provider; without spec.routes the gateway lets no request through to it, " +
		"so keys can be delivered by Env and File only")
	routed := build.Provider("anthropic").With(func(p *v1alpha1.APIProvider) {
		p.Spec.Routes = []v1alpha1.Route{{Method: v1alpha1.RouteMethodPost, Path: "/v1/messages"}}
	})
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.APIProvider]{
		"what the schema takes is accepted":   {Object: routed.Obj(), Want: accepted},
		"one that the gateway does not reach": {Object: build.Provider("anthropic").Obj(), Want: unreached},
		"a later generation": {
			Object: build.Provider("anthropic").Env("ANTHROPIC_API_KEY", "$(API_KEY)").
				With(func(p *v1alpha1.APIProvider) { p.Generation = 7 }).Obj(),
			Want: unreached,
		},
	})
}
