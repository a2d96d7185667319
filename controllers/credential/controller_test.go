package credential

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/controllers/acceptance"
	"github.com/sandkeep/sandkeep/controllers/acceptance/acceptancetest"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/observation"
)

const grant = `kubectl -n team-a create role sandkeep-credential-reader-anthropic-key --verb=get --resource=secrets --resource-name=anthropic-key && ` +
	`kubectl -n team-a create rolebinding sandkeep-credential-reader-anthropic-key --role=sandkeep-credential-reader-anthropic-key ` +
	`--serviceaccount=sandkeep-system:sandkeep-gateway`

// noon is the time of the stages, in whole seconds.
var noon = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// granted permits the gateway to read the one Secret, and nothing else.
func granted(spec authorizationv1.SubjectAccessReviewSpec) bool {
	return cmp.Equal(spec, authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:sandkeep-system:sandkeep-gateway",
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:sandkeep-system", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: "team-a", Verb: "get", Version: "v1", Resource: "secrets", Name: "anthropic-key",
		},
	})
}

func own() *build.CredentialBuilder { return build.Credential("own").Secret("anthropic-key", "key") }

// told is what one replica of the gateway tells of the credential.
func told(replica string, o observation.Observation) *corev1.ConfigMap {
	o.Ref = observation.Ref{Kind: v1alpha1.CredentialKindCredential, Namespace: "team-a", Name: "own"}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + replica, Labels: map[string]string{v1alpha1.LabelObservations: ""},
		},
		Data: map[string]string{observation.ConfigMapKey: observation.Encode([]observation.Observation{o})},
	}
}

// notLooked is the verdict on a key that the gateway may read and has not looked for.
var notLooked = acceptance.Verdict{
	Reason: v1alpha1.ReasonSecretNotReadable, Message: `The gateway may read Secret "anthropic-key", and looks there within seconds; ` +
		`where that does not happen, ask an admin to look at it: kubectl -n sandkeep-system get pods`,
}

func TestACredentialIsJudged(t *testing.T) {
	given := acceptance.Accepted(`Sessions get key "key" of Secret "anthropic-key"; whether it is there shows when one starts`)
	readable := acceptance.Accepted(`The gateway has found key "key" in Secret "anthropic-key"`)
	notReadable := acceptance.Verdict{
		Reason: v1alpha1.ReasonSecretNotReadable, Message: `The gateway may not read Secret "anthropic-key"; ask an admin to run this, which shows here within 36 s: ` + grant,
	}
	notFound := acceptance.Verdict{
		Reason:  v1alpha1.ReasonProviderNotFound,
		Message: `APIProvider "anthropic" not found; ask an admin to create it, or make a new Credential for another provider`,
	}
	provider := []client.Object{build.Provider("anthropic").Obj()}
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.Credential]{
		"Env and File need nobody's permission": {
			Object: own().Deliveries(v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile).Obj(), Others: provider, Want: given,
		},
		"Proxy, when unset, needs an admin's": {Object: own().Obj(), Others: provider, Want: notReadable, Again: 30 * time.Second},
		"Proxy needs an admin's": {
			Object: own().Deliveries(v1alpha1.DeliveryProxy).Obj(), Others: provider, Want: notReadable, Again: 30 * time.Second,
		},
		"an admin has given it, and the gateway has not looked": {Object: own().Obj(), Others: provider, Permits: granted, Want: notLooked, Again: time.Minute},
		"an admin has given it, and the gateway has looked": {
			Object: own().Obj(), Others: append(provider, found("a", "", 1)), Permits: granted, Want: readable, Again: time.Minute,
		},
		"the key was good, and the gateway is a new one": {
			Object: own().NotReady(v1alpha1.ReasonRateLimited, "Wait").Obj(), Others: provider, Permits: granted, Want: readable, Again: time.Minute,
		},
		"an admin has given it for another Secret": {
			Object: own().Secret("other", "key").Obj(), Others: provider, Permits: granted,
			Want: acceptance.Verdict{
				Reason:  v1alpha1.ReasonSecretNotReadable,
				Message: `The gateway may not read Secret "other"; ask an admin to run this, which shows here within 36 s: ` + strings.ReplaceAll(grant, "anthropic-key", "other"),
			},
			Again: 30 * time.Second,
		},
		"Env works before Proxy does": {
			Object: own().Deliveries(v1alpha1.DeliveryProxy, v1alpha1.DeliveryFile, v1alpha1.DeliveryEnv).Obj(), Others: provider,
			Want: acceptance.Accepted(`Sessions get key "key" of Secret "anthropic-key" by Env or File; for Proxy, ask an admin to run: ` + grant), Again: 30 * time.Second,
		},
		"its provider is not accepted, which is told elsewhere": {
			Object: own().Deliveries(v1alpha1.DeliveryEnv).Obj(), Others: []client.Object{build.Provider("anthropic").NotReady("Invalid", "Because").Obj()}, Want: given,
		},
		"no provider exists": {Object: own().Deliveries(v1alpha1.DeliveryEnv).Obj(), Want: notFound},
		"only another provider exists": {
			Object: own().Deliveries(v1alpha1.DeliveryEnv).Obj(), Others: []client.Object{build.Provider("openai").Obj()}, Want: notFound,
		},
		"the provider has moved since": {
			Object: own().Deliveries(v1alpha1.DeliveryEnv).With(func(c *v1alpha1.Credential) { c.Status.Hosts = []string{"old.example"} }).Obj(), Others: provider,
			Want: acceptance.Verdict{Reason: v1alpha1.ReasonEndpointsChanged, Message: `APIProvider "anthropic" names host api.anthropic.example, ` +
				`where this key was not made to go, so it goes nowhere; where that is right, make a new Credential`},
		},
		"the key was refused twice": {
			Object:  own().Obj(),
			Others:  append(provider, told("a", observation.Observation{Revision: "7", RejectedTimes: []time.Time{noon.Add(-time.Second), noon}, LastUsedTime: noon, Look: observation.Look{Time: noon, Generation: 1}})),
			Permits: granted,
			Want: acceptance.Verdict{Reason: v1alpha1.ReasonKeyRejected,
				Message: "The provider refused the key twice; put a good one into the Secret, which is tried again at 07:13:09 UTC"},
			Again: time.Minute,
		},
		"the key was refused long ago, and may be another one by now": {
			Object: own().Obj(),
			Others: append(provider, told("a", observation.Observation{
				Revision: "7", RejectedTimes: []time.Time{noon.Add(-time.Hour), noon.Add(-time.Hour)}, LastUsedTime: noon.Add(-time.Hour), Look: observation.Look{Time: noon.Add(-2 * time.Hour), Generation: 1},
			})),
			Permits: granted, Want: readable, Again: time.Minute,
		},
	})
}

// found is what a replica of the gateway found of the key some seconds ago.
func found(replica string, fault observation.Fault, secondsAgo int) *corev1.ConfigMap {
	return told(replica, observation.Observation{Look: observation.Look{
		Time: noon.Add(-time.Duration(secondsAgo) * time.Second), Generation: 1, Fault: fault,
	}})
}

const (
	putKey    = `printf %s "$KEY" | kubectl -n team-a create secret generic anthropic-key --from-file=key=/dev/stdin`
	putAgain  = `printf '{"data":{"key":"%s"}}' "$(printf %s "$KEY" | base64 | tr -d '\n')" | kubectl -n team-a patch secret anthropic-key --patch-file=/dev/stdin`
	noKeyText = `Entry "key" of Secret "anthropic-key" in namespace "team-a" is no key: it is empty, or has a blank or a newline in it or at its end ` +
		`(--from-file keeps the newline at the end of a file); put the bare key there: ` + putAgain
)

// TestWhatTheGatewayFindsIsTold: nobody else may look at the Secret, and a Session should wait for a key that is missing, not fail.
func TestWhatTheGatewayFindsIsTold(t *testing.T) {
	noSecret := acceptance.Verdict{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "anthropic-key" not found in namespace "team-a"; create it: ` + putKey}
	noEntry := acceptance.Verdict{
		Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "anthropic-key" in namespace "team-a" has no entry "key"; put the key there: ` + putAgain,
	}
	noKey := acceptance.Verdict{Reason: v1alpha1.ReasonKeyMalformed, Message: noKeyText}
	denied := acceptance.Verdict{
		Reason:  v1alpha1.ReasonTokenKindDenied,
		Message: `The key is of a kind that spec.tokenKinds of APIProvider "anthropic" denies; put a key of another kind into Secret "anthropic-key": ` + putAgain,
	}
	subscription := acceptance.Verdict{
		Reason: v1alpha1.ReasonSubscriptionTokenRefused, Message: `The key is a token of a person's own subscription, which APIProvider "anthropic" does not permit; ` +
			`put an API key into Secret "anthropic-key": ` + putAgain,
	}
	good := acceptance.Accepted(`The gateway has found key "key" in Secret "anthropic-key"`)
	given := acceptance.Accepted(`Sessions get key "key" of Secret "anthropic-key"; whether it is there shows when one starts`)
	older := told("a", observation.Observation{Look: observation.Look{Time: noon, Generation: 0, Fault: observation.FaultSecretMissing}})
	cases := map[string]acceptancetest.Case[*v1alpha1.Credential]{}
	for name, c := range map[string]struct {
		told []client.Object
		want acceptance.Verdict
	}{
		"a key":                        {[]client.Object{found("a", "", 1)}, good},
		"no Secret":                    {[]client.Object{found("a", observation.FaultSecretMissing, 1)}, noSecret},
		"no entry":                     {[]client.Object{found("a", observation.FaultEntryMissing, 1)}, noEntry},
		"no key":                       {[]client.Object{found("a", observation.FaultKeyMalformed, 1)}, noKey},
		"a kind that is denied":        {[]client.Object{found("a", observation.FaultTokenKindDenied, 1)}, denied},
		"a token of a subscription":    {[]client.Object{found("a", observation.FaultSubscriptionToken, 1)}, subscription},
		"it was mended, and one knows": {[]client.Object{found("a", observation.FaultSecretMissing, 9), found("b", "", 1)}, good},
		"it was broken, and one knows": {[]client.Object{found("a", observation.FaultKeyMalformed, 1), found("b", "", 9)}, noKey},
		"it was another Secret":        {[]client.Object{older}, notLooked},
	} {
		cases[name] = acceptancetest.Case[*v1alpha1.Credential]{
			Object: own().Obj(), Others: append(c.told, build.Provider("anthropic").Obj()), Permits: granted, Want: c.want, Again: time.Minute,
		}
	}
	cases["the gateway need not look"] = acceptancetest.Case[*v1alpha1.Credential]{
		Object: own().Deliveries(v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile).Obj(), Want: given,
		Others: []client.Object{build.Provider("anthropic").Obj(), found("a", observation.FaultSecretMissing, 1)},
	}
	acceptancetest.Verdicts(t, reconcilerFor, cases)
}

// TestWhatWasFoundIsRememberedUntilANewGatewayLooks: Sessions that wait for a key must not all start because the gateway was restarted.
func TestWhatWasFoundIsRememberedUntilANewGatewayLooks(t *testing.T) {
	broken := own().NotReady(v1alpha1.ReasonKeyMalformed, noKeyText)
	for name, c := range map[string]struct {
		object *v1alpha1.Credential
		told   []client.Object
		want   string
	}{
		"nobody has looked yet":       {broken.Obj(), nil, v1alpha1.ReasonKeyMalformed},
		"its kind was denied":         {own().NotReady(v1alpha1.ReasonTokenKindDenied, "Because").Obj(), nil, v1alpha1.ReasonTokenKindDenied},
		"one has looked":              {broken.Obj(), []client.Object{found("b", "", 1)}, v1alpha1.ReasonAccepted},
		"it names another key by now": {broken.With(func(c *v1alpha1.Credential) { c.Generation = 2 }).Obj(), nil, v1alpha1.ReasonSecretNotReadable},
	} {
		t.Run(name, func(t *testing.T) {
			s := acceptancetest.NewStage(t, append(c.told, c.object, build.Provider("anthropic").Obj())...)
			s.Permits = granted
			if _, err := acceptancetest.Again(t, s, reconcilerFor(s.Base()), c.object); err != nil {
				t.Fatal(err)
			}
			ready := acceptancetest.Now(t, s, c.object).Status.Conditions[0]
			if ready.Reason != c.want || c.want == v1alpha1.ReasonKeyMalformed && ready.Message != noKeyText {
				t.Errorf("Ready says %s %q, want %s", ready.Reason, ready.Message, c.want)
			}
		})
	}
}

func TestTheRevisionIsTheOneThatTheGatewayUsedLast(t *testing.T) {
	s := acceptancetest.NewStage(t, own().Obj(), build.Provider("anthropic").Obj(),
		told("a", observation.Observation{Revision: "7", LastUsedTime: noon.Add(-time.Minute)}), told("b", observation.Observation{Revision: "8", LastUsedTime: noon, Look: observation.Look{Time: noon, Generation: 1}}))
	s.Permits = granted
	r := reconcilerFor(s.Base())
	for range 2 {
		if _, err := acceptancetest.Again(t, s, r, own().Obj()); err != nil {
			t.Fatal(err)
		}
		got := acceptancetest.Now(t, s, own().Obj()).Status
		got.Conditions = nil
		want := v1alpha1.CredentialStatus{
			ObservedGeneration: new(int64(1)), Revision: "8", Hosts: []string{"api.anthropic.example"}, LastUsedTime: got.LastUsedTime,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		for _, replica := range []string{"a", "b"} { // which are gone for the second look
			if err := client.IgnoreNotFound(s.Client.Delete(t.Context(), told(replica, observation.Observation{}))); err != nil {
				t.Fatal(err)
			}
		}
	}
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

func TestACredentialIsAcceptedOnceWhatItNeedsIsThere(t *testing.T) {
	s := acceptancetest.NewStage(t, own().Obj())
	r := reconcilerFor(s.Base())
	for _, step := range []func() error{
		func() error { return nil },
		func() error { return s.Client.Create(t.Context(), build.Provider("anthropic").Obj()) },
		func() error { s.Permits = granted; return nil },
		func() error { return s.Client.Create(t.Context(), found("a", "", 1)) },
		func() error { s.Permits = nil; return nil },
		func() error { return s.Client.Delete(t.Context(), build.Provider("anthropic").Obj()) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		if _, err := acceptancetest.Again(t, s, r, own().Obj()); err != nil {
			t.Fatal(err)
		}
	}
	notFound := `Warning ProviderNotFound: APIProvider "anthropic" not found; ask an admin to create it, or make a new Credential for another provider`
	notReadable := `Warning SecretNotReadable: The gateway may not read Secret "anthropic-key"; ask an admin to run this, which shows here within 36 s: ` + grant
	want := []string{
		notFound,
		notReadable,
		`Normal Accepted: The gateway has found key "key" in Secret "anthropic-key"`,
		notReadable,
		notFound,
	}
	if diff := cmp.Diff(want, s.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
