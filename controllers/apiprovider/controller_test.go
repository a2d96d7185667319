package apiprovider

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
)

// hollow is what the schema takes for a certificate.
const hollow = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"

// certificate is one in PEM.
func certificate(t *testing.T) string {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	raw, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
}

func TestAnAPIProviderIsJudged(t *testing.T) {
	accepted := acceptance.Accepted("Agents can be told about this provider")
	unreached := acceptance.Accepted("Agents can be told about this provider; without spec.routes the gateway lets no request through to it, " +
		"so keys can be delivered by Env and File only")
	routed := build.Provider("anthropic").With(func(p *v1alpha1.APIProvider) {
		p.Spec.Routes = []v1alpha1.Route{{Method: v1alpha1.RouteMethodPost, Path: "/v1/messages"}}
	})
	trusting := func(bundles ...string) *v1alpha1.APIProvider {
		p := routed.Obj()
		p.Spec.Endpoints = nil
		for i, bundle := range bundles {
			p.Spec.Endpoints = append(p.Spec.Endpoints, v1alpha1.Endpoint{Host: fmt.Sprintf("host-%d.example", i), CABundle: bundle})
		}
		return p
	}
	unreadable := func(i int) acceptance.Verdict {
		return acceptance.Verdict{Stalled: true, Reason: v1alpha1.ReasonInvalidEndpoint, Message: fmt.Sprintf(
			"Field spec.endpoints[%d].caBundle, of host \"host-%d.example\", has no certificate that can be read; "+
				"put the whole PEM of the authority there, or leave it out where a public one signs", i, i)}
	}
	certificate := certificate(t)
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.APIProvider]{
		"what the schema takes is accepted":       {Object: routed.Obj(), Want: accepted},
		"one that the gateway does not reach":     {Object: build.Provider("anthropic").Obj(), Want: unreached},
		"an authority that can be read":           {Object: trusting(certificate), Want: accepted},
		"one beside what is none":                 {Object: trusting(hollow + certificate), Want: accepted},
		"an authority without a certificate":      {Object: trusting(hollow), Want: unreadable(0)},
		"an authority that was cut":               {Object: trusting(certificate[:100]), Want: unreadable(0)},
		"an authority of the second host is none": {Object: trusting(certificate, hollow), Want: unreadable(1)},
		"a later generation": {
			Object: build.Provider("anthropic").Env("ANTHROPIC_API_KEY", "$(API_KEY)").
				With(func(p *v1alpha1.APIProvider) { p.Generation = 7 }).Obj(),
			Want: unreached,
		},
	})
}
