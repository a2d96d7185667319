package clustercredential

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

// canary is the key of every test. It must be nowhere but in its Secret.
const canary = "sk-ant-api03-canary"

const (
	create  = `printf %s "$KEY" | kubectl -n sandkeep-keys create secret generic anthropic-key --type=sandkeep.dev/api-key --from-file=key=/dev/stdin`
	replace = `printf '{"data":{"key":"%s"}}' "$(printf %s "$KEY" | base64 | tr -d '\n')" | kubectl -n sandkeep-keys patch secret anthropic-key --patch-file=/dev/stdin`
)

// noon is the time of the stages, in whole seconds.
var noon = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

func shared() *build.ClusterCredentialBuilder {
	return build.ClusterCredential("shared").Secret("anthropic-key", "key").With(func(c *v1alpha1.ClusterCredential) {
		c.Spec.Allow = &v1alpha1.Allow{Namespaces: &v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}}
	})
}

func provider() *v1alpha1.APIProvider {
	return build.Provider("anthropic").With(func(p *v1alpha1.APIProvider) {
		p.Spec.TokenKinds = []v1alpha1.TokenKind{
			{Name: "oauth-token", Prefix: "sk-ant-oat", Policy: v1alpha1.TokenPolicyDeny},
			{Name: "api-key", Prefix: "sk-ant-api", Policy: v1alpha1.TokenPolicyAllow},
		}
	}).Obj()
}

// secret is a Secret with a key, of revision 7.
func secret(key string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.NamespaceKeys, Name: "anthropic-key", ResourceVersion: "7"},
		Type:       v1alpha1.SecretTypeAPIKey,
		Data:       map[string][]byte{"key": []byte(key)},
	}
}

// told is what one replica of the gateway tells of the credential.
func told(replica string, o observation.Observation) *corev1.ConfigMap {
	o.Ref = observation.Ref{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + replica, Labels: map[string]string{v1alpha1.LabelObservations: ""},
		},
		Data: map[string]string{observation.ConfigMapKey: observation.Encode([]observation.Observation{o})},
	}
}

func TestAClusterCredentialIsJudged(t *testing.T) {
	usable := acceptance.Accepted("The gateway has the key for those whom spec.allow names")
	malformed := func(problem string) acceptance.Verdict {
		return acceptance.Verdict{Reason: v1alpha1.ReasonKeyMalformed, Message: `Entry "key" of Secret "anthropic-key" in namespace "sandkeep-keys" ` + problem +
			`, so it is no key (--from-file keeps the newline at the end of a file); put the bare key there: ` + replace}
	}
	missing := acceptance.Verdict{
		Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "anthropic-key" not found in namespace "sandkeep-keys"; create it: ` + create,
	}
	changed := func(hosts string) acceptance.Verdict {
		return acceptance.Verdict{Reason: v1alpha1.ReasonEndpointsChanged, Message: `APIProvider "anthropic" names ` + hosts +
			`, where this key was not made to go, so it goes nowhere; where that is right, set spec.hosts to all hosts to which the key may go`}
	}
	withHosts := func(hosts ...string) *v1alpha1.ClusterCredential {
		return shared().With(func(c *v1alpha1.ClusterCredential) { c.Spec.Hosts = hosts }).Obj()
	}
	world := func(others ...client.Object) []client.Object { return append([]client.Object{provider()}, others...) }
	acceptancetest.Verdicts(t, reconcilerFor, map[string]acceptancetest.Case[*v1alpha1.ClusterCredential]{
		"provider and key exist":         {Object: shared().Obj(), Others: world(secret(canary)), Want: usable},
		"a key of no kind that is known": {Object: shared().Obj(), Others: world(secret("another-canary")), Want: usable},
		"nobody may use it": {
			Object: shared().With(func(c *v1alpha1.ClusterCredential) { c.Spec.Allow = nil }).Obj(), Others: world(secret(canary)),
			Want: acceptance.Accepted("The gateway has the key; nobody may use it until spec.allow says who"),
		},
		"no provider": {Object: shared().Obj(), Others: []client.Object{secret(canary)}, Want: acceptance.Verdict{
			Reason:  v1alpha1.ReasonProviderNotFound,
			Message: `APIProvider "anthropic" not found; create it, or make a new ClusterCredential for another provider`,
		}},
		"no Secret": {Object: shared().Obj(), Others: world(), Want: missing},
		"a Secret of that name elsewhere": {Object: shared().Obj(), Others: world(func() client.Object {
			s := secret(canary)
			s.Namespace = v1alpha1.NamespaceVault
			return s
		}()), Want: missing},
		"a Secret of another type, such as the gateway's own": {Object: shared().Obj(), Others: world(func() client.Object {
			s := secret(canary)
			s.Type = v1alpha1.SecretTypeCertificate
			return s
		}()), Want: acceptance.Verdict{Reason: v1alpha1.ReasonSecretNotFound, Message: `Secret "anthropic-key" in namespace "sandkeep-keys" is of type ` +
			`"sandkeep.dev/certificate", not "sandkeep.dev/api-key"; create one under another name, or delete it and create it anew: ` + create}},
		"a Secret without the entry": {Object: shared().Secret("anthropic-key", "key").Obj(), Others: world(func() client.Object {
			s := secret(canary)
			s.Data = map[string][]byte{"other": []byte(canary)}
			return s
		}()), Want: acceptance.Verdict{Reason: v1alpha1.ReasonSecretNotFound,
			Message: `Secret "anthropic-key" in namespace "sandkeep-keys" has no entry "key"; put the key there: ` + replace}},
		"an empty key":       {Object: shared().Obj(), Others: world(secret("")), Want: malformed("is empty")},
		"a key from a file":  {Object: shared().Obj(), Others: world(secret(canary + "\n")), Want: malformed("ends with a newline")},
		"a key with a blank": {Object: shared().Obj(), Others: world(secret("Bearer " + canary)), Want: malformed("has a blank or a newline in it")},
		"a key of a kind that is denied": {Object: shared().Obj(), Others: world(secret("sk-ant-oat01-canary")), Want: acceptance.Verdict{
			Reason: v1alpha1.ReasonTokenKindDenied,
			Message: `The key is of kind "oauth-token", which APIProvider "anthropic" does not permit; ` +
				`put a key of another kind into Secret "anthropic-key" of namespace "sandkeep-keys"`,
		}},
		"the provider is where the spec says": {Object: withHosts("api.anthropic.example", "eu.anthropic.example"), Others: world(secret(canary)), Want: usable},
		"the provider is elsewhere":           {Object: withHosts("eu.anthropic.example"), Others: world(secret(canary)), Want: changed("host api.anthropic.example")},
		"the provider has moved since": {
			Object: shared().With(func(c *v1alpha1.ClusterCredential) { c.Status.Hosts = []string{"old.example"} }).Obj(),
			Others: world(secret(canary)), Want: changed("host api.anthropic.example"),
		},
		"the key was refused twice": {
			Object: shared().Obj(),
			Others: world(secret(canary), told("a", observation.Observation{Revision: "7", RejectedTimes: []time.Time{noon.Add(-2), noon.Add(-1)}})),
			Want: acceptance.Verdict{Reason: v1alpha1.ReasonKeyRejected,
				Message: "The provider refused the key twice; put a good one into the Secret, or annotate the Secret to have the same key tried again"},
		},
		"an earlier key was refused twice": {
			Object: shared().Obj(),
			Others: world(secret(canary), told("a", observation.Observation{Revision: "6", RejectedTimes: []time.Time{noon.Add(-2), noon.Add(-1)}})),
			Want:   usable,
		},
		"the provider asks for patience": {
			Object: shared().Obj(),
			Others: world(secret(canary), told("a", observation.Observation{Revision: "7", RateLimitedTime: noon, RateLimitedUntil: noon.Add(20 * time.Second)})),
			Want: acceptance.Verdict{
				Reason: v1alpha1.ReasonRateLimited, Message: "The provider asks for patience until 07:08:29 UTC; wait, or ask it for a higher limit",
			},
			Again: 20*time.Second - 123456789,
		},
		"the account has no credit": {
			Object: shared().Obj(), Others: world(secret(canary), told("a", observation.Observation{Revision: "7", QuotaExhaustedTime: noon})),
			Want: acceptance.Verdict{Reason: v1alpha1.ReasonQuotaExhausted, Message: "The provider says that the account has no credit; add some; " +
				"the key is tried again at 08:08:09 UTC, or at once when you annotate the Secret"},
			Again: time.Hour - 123456789,
		},
		"what a gateway tells cannot be read": {Object: shared().Obj(), Others: world(secret(canary), func() client.Object {
			c := told("a", observation.Observation{})
			c.Data[observation.ConfigMapKey] = "{"
			return c
		}()), Want: usable},
	})
}

// play is a stage on which a ClusterCredential and what it refers to exist.
func play(t *testing.T, objects ...client.Object) (*acceptancetest.Stage, func() *v1alpha1.ClusterCredential) {
	t.Helper()
	s := acceptancetest.NewStage(t, append(objects, shared().Obj(), provider())...)
	r := reconcilerFor(s.Base())
	return s, func() *v1alpha1.ClusterCredential {
		t.Helper()
		if _, err := acceptancetest.Again(t, s, r, shared().Obj()); err != nil {
			t.Fatal(err)
		}
		return acceptancetest.Now(t, s, shared().Obj())
	}
}

// fields is a status without its conditions.
func fields(c *v1alpha1.ClusterCredential) v1alpha1.CredentialStatus {
	status := *c.Status.DeepCopy()
	status.Conditions = nil
	return status
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStatusTellsOfTheKey(t *testing.T) {
	s, reconcile := play(t, secret(canary))
	got := reconcile()
	want := v1alpha1.CredentialStatus{
		ObservedGeneration: new(int64(1)), TokenKind: "api-key", Revision: "7", Hosts: []string{"api.anthropic.example"},
	}
	if diff := cmp.Diff(want, fields(got)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}

	t.Log("a new key, of another kind")
	renewed := secret("another-canary")
	renewed.ResourceVersion = "7"
	must(t, s.Client.Update(t.Context(), renewed))
	want.TokenKind, want.Revision = "Unknown", renewed.ResourceVersion
	if diff := cmp.Diff(want, fields(reconcile())); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}

	t.Log("no key; where it may go stays known")
	must(t, s.Client.Delete(t.Context(), renewed))
	want.TokenKind, want.Revision = "", ""
	if diff := cmp.Diff(want, fields(reconcile())); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestHostsAreRecordedWhenACredentialIsFirstReady(t *testing.T) {
	s, reconcile := play(t)
	if got := reconcile().Status.Hosts; got != nil {
		t.Errorf("hosts %q before there was a key", got)
	}
	must(t, s.Client.Create(t.Context(), func() *corev1.Secret {
		o := secret(canary)
		o.ResourceVersion = ""
		return o
	}()))
	reconcile()
	moved := acceptancetest.Now(t, s, provider())
	moved.Spec.Endpoints[0].Host = "evil.example"
	must(t, s.Client.Update(t.Context(), moved))
	got := reconcile()
	if diff := cmp.Diff([]string{"api.anthropic.example"}, got.Status.Hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if reason := got.Status.Conditions[0].Reason; reason != v1alpha1.ReasonEndpointsChanged {
		t.Errorf("reason %s", reason)
	}

	t.Log("an admin says that it is right")
	got.Spec.Hosts = []string{"evil.example", "api.anthropic.example"}
	must(t, s.Client.Update(t.Context(), got))
	got = reconcile()
	if diff := cmp.Diff([]string{"api.anthropic.example", "evil.example"}, got.Status.Hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if reason := got.Status.Conditions[0].Reason; reason != v1alpha1.ReasonAccepted {
		t.Errorf("reason %s", reason)
	}
}

func TestARefusedKeyStaysRefusedWhenTheGatewayIsRestarted(t *testing.T) {
	refused := told("a", observation.Observation{Revision: "7", RejectedTimes: []time.Time{noon.Add(-2), noon.Add(-1)}})
	reason := func(c *v1alpha1.ClusterCredential) string { return c.Status.Conditions[0].Reason }
	ways := map[string]struct {
		change func(t *testing.T, s *acceptancetest.Stage)
		want   string
	}{
		"nothing else happens": {func(*testing.T, *acceptancetest.Stage) {}, v1alpha1.ReasonKeyRejected},
		"it was accepted before that": {func(t *testing.T, s *acceptancetest.Stage) {
			must(t, s.Client.Create(t.Context(), told("b", observation.Observation{Revision: "7", AcceptedTime: noon.Add(-time.Minute)})))
		}, v1alpha1.ReasonKeyRejected},
		"it is accepted": {func(t *testing.T, s *acceptancetest.Stage) {
			must(t, s.Client.Create(t.Context(), told("b", observation.Observation{Revision: "7", AcceptedTime: noon.Add(time.Second)})))
		}, v1alpha1.ReasonAccepted},
		"an admin annotates the Secret": {func(t *testing.T, s *acceptancetest.Stage) {
			o := secret(canary)
			o.Annotations = map[string]string{"tried": "again"}
			must(t, s.Client.Update(t.Context(), o))
		}, v1alpha1.ReasonAccepted},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			s, reconcile := play(t, secret(canary), refused.DeepCopy())
			if got := reason(reconcile()); got != v1alpha1.ReasonKeyRejected {
				t.Fatalf("reason %s", got)
			}
			must(t, s.Client.Delete(t.Context(), refused.DeepCopy()))
			way.change(t, s)
			s.Clock.SetTime(noon.Add(time.Minute))
			if got := reason(reconcile()); got != way.want {
				t.Errorf("reason %s, want %s", got, way.want)
			}
		})
	}
}

func TestUseIsToldToHalfAMinute(t *testing.T) {
	s, reconcile := play(t, secret(canary), told("a", observation.Observation{Revision: "7", LastUsedTime: noon}))
	used := reconcile().Status.LastUsedTime
	if diff := cmp.Diff(noon.Truncate(30*time.Second), used.UTC()); diff != "" {
		t.Errorf("last use (-want +got):\n%s", diff)
	}
	for _, step := range []struct {
		replica string
		used    time.Time
		want    time.Time
		writes  int
	}{
		{"a", noon.Add(20 * time.Second), noon.Truncate(30 * time.Second), 0},
		{"a", noon.Add(21 * time.Second), noon.Truncate(30 * time.Second).Add(30 * time.Second), 1},
		{"a", time.Time{}, noon.Truncate(30 * time.Second).Add(30 * time.Second), 0},
	} {
		s.Clock.SetTime(noon.Add(time.Minute))
		must(t, s.Client.Update(t.Context(), told(step.replica, observation.Observation{Revision: "7", LastUsedTime: step.used})))
		s.Writes = 0
		got := reconcile().Status.LastUsedTime
		if diff := cmp.Diff(step.want, got.UTC()); diff != "" {
			t.Errorf("last use (-want +got):\n%s", diff)
		}
		if s.Writes != step.writes {
			t.Errorf("%d writes, want %d", s.Writes, step.writes)
		}
	}
}

// Invariant I2.
func TestTheKeyIsNowhereElse(t *testing.T) {
	for name, key := range map[string]string{"good": canary, "malformed": canary + "\n", "two keys": canary + " " + canary, "denied": "sk-ant-oat01-canary"} {
		t.Run(name, func(t *testing.T) {
			s, reconcile := play(t, secret(key))
			text, err := json.Marshal(reconcile())
			must(t, err)
			for _, told := range append(s.Events, string(text)) {
				if strings.Contains(told, "canary") {
					t.Errorf("the key is in %s", told)
				}
			}
			for call := range s.Calls {
				s, _ := play(t, secret(key))
				s.FailAt = call + 1
				if _, err := acceptancetest.Again(t, s, reconcilerFor(s.Base()), shared().Obj()); err != nil && strings.Contains(err.Error(), "canary") {
					t.Errorf("the key is in %v", err)
				}
			}
		})
	}
}

func TestWhatAClusterCredentialNeedsWakesIt(t *testing.T) {
	s := acceptancetest.NewStage(t, shared().Obj(), build.ClusterCredential("other").Obj(), build.ClusterCredential("o").Provider("openai").Obj())
	request := func(names ...string) (requests []reconcile.Request) {
		for _, name := range names {
			requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
		return requests
	}
	elsewhere := secret(canary)
	elsewhere.Namespace = v1alpha1.NamespaceVault
	cases := map[string]struct{ got, want []reconcile.Request }{
		"a provider":                   {ofProvider(s.Client)(t.Context(), provider()), request("other", "shared")},
		"a provider that nobody names": {ofProvider(s.Client)(t.Context(), build.Provider("google").Obj()), nil},
		"a Secret":                     {ofSecret(s.Client)(t.Context(), secret(canary)), request("shared")},
		"a Secret of the vault":        {ofSecret(s.Client)(t.Context(), elsewhere), nil},
	}
	for name, c := range cases {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("requests for %s (-want +got):\n%s", name, diff)
		}
	}
}
