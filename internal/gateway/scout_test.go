package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/gateway/witness"
	"github.com/sandkeep/sandkeep/internal/observation"
)

// lookout is a gateway that nobody asks for anything, in a bubble of time.
type lookout struct {
	t   *testing.T
	api client.WithWatch
	// gets are the reads of Secrets; forbidden is true while no admin has permitted them.
	gets      int
	forbidden bool
}

// onLookout runs a gateway that looks for the keys of Credentials.
func onLookout(t *testing.T, forbidden bool, credentials []client.Object, play func(*lookout)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lookout{t: t, forbidden: forbidden}
		l.api = fake.NewClientBuilder().WithScheme(kinds).WithObjects(credentials...).WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, secret := o.(*corev1.Secret); secret {
					l.gets++
					if l.forbidden {
						return apierrors.NewForbidden(corev1.Resource("secrets"), key.Name, nil)
					}
				}
				return c.Get(ctx, key, o, opts...)
			},
		}).Build()
		s := &Server{Cache: l.api, Live: l.api, Clock: clock.RealClock{}, Witness: witness.New(l.api, clock.RealClock{}, "gateway", "uid"), Log: logr.Discard()}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go s.scout(ctx)
		go s.Witness.Run(ctx, func(err error) { t.Errorf("write: %v", err) })
		play(l)
	})
}

// put has the Secret hold this, or nothing.
func (l *lookout) put(data map[string][]byte) {
	l.t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "own"}}
	if err := client.IgnoreNotFound(l.api.Delete(l.t.Context(), secret)); err != nil {
		l.t.Fatal(err)
	}
	if data == nil {
		return
	}
	secret.ResourceVersion, secret.Data = "", data
	if err := l.api.Create(l.t.Context(), secret); err != nil {
		l.t.Fatal(err)
	}
}

// told is what the keeper is told of Credential own: "unseen", "", or a fault.
func (l *lookout) told() string {
	l.t.Helper()
	m := &corev1.ConfigMap{}
	err := l.api.Get(l.t.Context(), client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + "gateway"}, m)
	if client.IgnoreNotFound(err) != nil {
		l.t.Fatal(err)
	}
	if err != nil {
		return "unseen"
	}
	all, err := observation.Decode(m.Data[observation.ConfigMapKey])
	if err != nil || len(all) != 1 || all[0].Ref != (observation.Ref{Kind: "Credential", Namespace: build.Namespace, Name: "own"}) {
		l.t.Fatalf("told %+v, error %v", all, err)
	}
	return string(all[0].Look.Fault)
}

// TestKeysAreLookedForBeforeTheyAreNeeded: a Session whose key is missing should wait for it, which takes that somebody knows.
func TestKeysAreLookedForBeforeTheyAreNeeded(t *testing.T) {
	onLookout(t, false, []client.Object{build.Credential("own").Ready().Obj()}, func(l *lookout) {
		var got []string
		for _, data := range []map[string][]byte{
			nil, {"another": []byte(canary)}, {accessKey: []byte(canary + "\n")}, {accessKey: []byte(canary)},
		} {
			l.put(data)
			time.Sleep(lookAgain + scoutTick + 2*time.Second)
			got = append(got, l.told())
		}
		l.put(nil)
		time.Sleep(lookNowAndThen + scoutTick + 2*time.Second)
		got = append(got, l.told())
		if diff := cmp.Diff([]string{"SecretMissing", "EntryMissing", "KeyMalformed", "", "SecretMissing"}, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

func TestOnlyWhatTheGatewayMayReadIsLookedFor(t *testing.T) {
	cases := map[string]*build.CredentialBuilder{
		"nobody has judged it":        build.Credential("own"),
		"the key goes into sandboxes": build.Credential("own").Ready().Deliveries(v1alpha1.DeliveryEnv),
		"it is being deleted":         build.Credential("own").Ready().Deleting(),
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			onLookout(t, false, []client.Object{c.Obj()}, func(l *lookout) {
				time.Sleep(time.Hour)
				if l.gets != 0 || l.told() != "unseen" {
					t.Errorf("%d reads of the Secret, told %q", l.gets, l.told())
				}
			})
		})
	}
	t.Run("an admin permits it", func(t *testing.T) {
		onLookout(t, true, []client.Object{build.Credential("own").NotReady(v1alpha1.ReasonSecretNotReadable, "Ask an admin").Obj()}, func(l *lookout) {
			time.Sleep(time.Minute)
			if l.told() != "unseen" {
				t.Errorf("told %q of what must not be read", l.told())
			}
			l.forbidden = false
			time.Sleep(lookAgain + scoutTick + 2*time.Second)
			if l.told() != string(observation.FaultSecretMissing) {
				t.Errorf("told %q", l.told())
			}
		})
	})
	t.Run("the permission is gone, which tells nothing of the key", func(t *testing.T) {
		onLookout(t, true, []client.Object{build.Credential("own").Ready().Obj()}, func(l *lookout) {
			time.Sleep(time.Hour)
			if l.told() != "unseen" || l.gets == 0 || l.gets > 13 {
				t.Errorf("%d reads of the Secret, told %q", l.gets, l.told())
			}
		})
	})
}

// TestLooksAreFew: whoever may make Credentials must not be able to keep the gateway from its work.
func TestLooksAreFew(t *testing.T) {
	var many []client.Object
	for i := range 500 {
		many = append(many, build.Credential(fmt.Sprint("c", i)).Ready().Obj())
	}
	onLookout(t, false, many, func(l *lookout) {
		time.Sleep(time.Hour)
		if most := int(time.Hour/scoutTick)*maxLooks + maxLooks; l.gets > most || l.gets < 500 {
			t.Errorf("%d reads of Secrets in an hour, want at most %d", l.gets, most)
		}
	})
}

// TestNamespacesTakeTurns: one with many Credentials must not keep the key of another from being found.
func TestNamespacesTakeTurns(t *testing.T) {
	var due []*v1alpha1.Credential
	for i := range 5 {
		due = append(due, build.Credential(fmt.Sprint("many", i)).Namespace("team-z").Obj())
	}
	due = append(due, build.Credential("one").Obj(), build.Credential("two").Obj())
	looks := map[client.ObjectKey]look{}
	for i, c := range due {
		looks[client.ObjectKeyFromObject(c)] = look{due: time.Unix(int64(100+i), 0)}
	}
	looks[client.ObjectKeyFromObject(due[6])] = look{due: time.Unix(1, 0)}
	var got []string
	for _, c := range fairly(due, looks) {
		got = append(got, c.Name)
	}
	if diff := cmp.Diff([]string{"two", "many0", "many1", "one", "many2", "many3", "many4"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestARequestTellsOfAMissingKey: the status of the credential must not call it good until the next look.
func TestARequestTellsOfAMissingKey(t *testing.T) {
	s := newStage(t, func(http.ResponseWriter, *http.Request) { t.Error("The provider was asked without a key") }, func(o *objects) {
		o.session.Status.Credentials[0].Ref = v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "own"}
	})
	own := build.Credential("own").Ready().With(func(c *v1alpha1.Credential) { c.Status.Hosts = []string{s.endpoint().Host} }).Obj()
	if err := s.api.Create(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if got := s.post("").StatusCode; got != http.StatusForbidden {
		t.Errorf("status %d, want 403", got)
	}
	s.wantTold(func(o observation.Observation) bool {
		return o.Look.Fault == observation.FaultSecretMissing && o.Look.Generation == own.Generation
	})
}

// denying has the provider deny keys that begin like the canary.
func denying(kind string) func(*objects) {
	return func(o *objects) {
		o.provider.Spec.TokenKinds = []v1alpha1.TokenKind{{Name: kind, Prefix: "sk-ant-", Policy: v1alpha1.TokenPolicyDeny}}
	}
}

// TestI4AKeyOfADeniedKindIsNotSent: the keeper sees no key of a namespace, and may not have looked yet at one of the keep.
func TestI4AKeyOfADeniedKindIsNotSent(t *testing.T) {
	cases := map[string]struct {
		kind, reason string
		fault        observation.Fault
	}{
		"a kind that is denied":     {"admin-key", v1alpha1.ReasonTokenKindDenied, observation.FaultTokenKindDenied},
		"a token of a subscription": {v1alpha1.TokenKindSubscription, v1alpha1.ReasonSubscriptionTokenRefused, observation.FaultSubscriptionToken},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, fine, denying(c.kind))
			s.refusedFor(c.reason)
			ofNamespace := newStage(t, fine, denying(c.kind), func(o *objects) {
				o.session.Status.Credentials[0].Ref = v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "own"}
			})
			own := build.Credential("own").Ready().With(func(o *v1alpha1.Credential) { o.Status.Hosts = []string{ofNamespace.endpoint().Host} }).Obj()
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: build.Namespace, Name: "own"}, Data: map[string][]byte{accessKey: []byte(canary)}}
			for _, o := range []client.Object{own, secret} {
				if err := ofNamespace.api.Create(t.Context(), o); err != nil {
					t.Fatal(err)
				}
			}
			ofNamespace.refusedFor(c.reason)
			ofNamespace.wantTold(func(o observation.Observation) bool {
				return o.Look.Fault == c.fault && o.Look.Generation == own.Generation
			})
		})
	}
}

// refusedFor fails unless a request is refused for a reason, and does not reach the provider.
func (s *stage) refusedFor(reason string) {
	s.t.Helper()
	if a := s.post(""); a.StatusCode != http.StatusForbidden || !strings.Contains(a.Header.Get(contract.HeaderFailureMessage), "another kind") {
		s.t.Errorf("%s, message %q", a.Status, a.Header.Get(contract.HeaderFailureMessage))
	}
	s.counts("refusals_total{class=opencode,namespace=team-a,provider=anthropic,reason=" + reason + ",} 1")
	if got := s.upstream.requests(); len(got) > 0 {
		s.t.Errorf("%d requests reached the provider", len(got))
	}
}

// TestAKeyOfADeniedKindIsFoundBeforeItIsNeeded: a Session should wait for another key.
func TestAKeyOfADeniedKindIsFoundBeforeItIsNeeded(t *testing.T) {
	provider := build.Provider("anthropic").With(func(p *v1alpha1.APIProvider) {
		p.Spec.TokenKinds = []v1alpha1.TokenKind{{Name: "admin-key", Prefix: "sk-ant-admin", Policy: v1alpha1.TokenPolicyDeny}}
	}).Obj()
	onLookout(t, false, []client.Object{build.Credential("own").Ready().Obj(), provider}, func(l *lookout) {
		var got []string
		for _, key := range []string{"sk-ant-admin01-x", canary} {
			l.put(map[string][]byte{accessKey: []byte(key)})
			time.Sleep(lookAgain + scoutTick + 2*time.Second)
			got = append(got, l.told())
		}
		if diff := cmp.Diff([]string{string(observation.FaultTokenKindDenied), ""}, got); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// TestAGatewayLooksForKeysWhileItServes: what nobody starts finds nothing.
func TestAGatewayLooksForKeysWhileItServes(t *testing.T) {
	s := newStage(t, func(http.ResponseWriter, *http.Request) {})
	s.certified(newAuthority(t), true)
	if err := s.api.Create(t.Context(), build.Credential("own").Ready().Obj()); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.eventually("word of the missing key", func() bool {
		m := &corev1.ConfigMap{}
		err := s.api.Get(t.Context(), client.ObjectKey{Namespace: v1alpha1.NamespaceSystem, Name: observation.ConfigMapPrefix + "gateway"}, m)
		return err == nil && strings.Contains(m.Data[observation.ConfigMapKey], string(observation.FaultSecretMissing))
	})
}
