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
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.APIProvider]{
		"what the schema takes is accepted": {Object: build.Provider("anthropic").Obj(), Want: accepted},
		"a later generation": {
			Object: build.Provider("anthropic").Env("ANTHROPIC_API_KEY", "$(API_KEY)").
				With(func(p *v1alpha1.APIProvider) { p.Generation = 7 }).Obj(),
			Want: accepted,
		},
	})
}
