package schema

import (
	"slices"
	"testing"

	apiextensionsvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
)

// The API server refuses a CRD with a rule that could cost too much, which is the first thing to break when a bound is
// raised.
func TestDefinitionsAreAccepted(t *testing.T) {
	for kind, d := range readDefinitions(t) {
		t.Run(kind, func(t *testing.T) {
			for _, err := range apiextensionsvalidation.ValidateCustomResourceDefinition(t.Context(), d.internal) {
				t.Error(err)
			}
		})
	}
}

func TestSchema(t *testing.T) {
	checkCases(t, readDefinitions(t), nil)
}

func TestServer(t *testing.T) {
	s := newRealServer(t)
	checkCases(t, s, s.mended(t))
}

// checkCases leaves out those that mended names.
func checkCases(t *testing.T, s server, mended []string) {
	t.Helper()
	for _, c := range casesIn(t, "valid") {
		t.Run("valid/"+c.name, func(t *testing.T) { checkValid(t, s, c) })
	}
	for _, c := range casesIn(t, "invalid") {
		t.Run("invalid/"+c.name, func(t *testing.T) {
			if slices.Contains(mended, c.name) {
				t.Skip("An admission policy of this cluster mends the object")
			}
			checkInvalid(t, s, c)
		})
	}
}
