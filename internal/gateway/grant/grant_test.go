package grant

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

const host = "api.anthropic.example"

// shared is a Session of team-a that was given an admin's credential.
func shared() World {
	return World{
		MayUse: true,
		Session: build.Session("fix-login").With(func(s *v1alpha1.Session) {
			s.Status.Credentials = []v1alpha1.ResolvedCredential{
				{Provider: "openai", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "other"}, Delivery: v1alpha1.DeliveryProxy},
				{Provider: "anthropic", Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}, Delivery: v1alpha1.DeliveryProxy},
			}
		}).Obj(),
		Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace}},
		Provider: build.Provider("anthropic").Ready().With(func(p *v1alpha1.APIProvider) {
			p.Spec.Auth = &v1alpha1.ProviderAuth{APIKey: &v1alpha1.HeaderAuth{Header: "x-api-key"}}
		}).Obj(),
		ClusterCredential: build.ClusterCredential("shared").Secret("keys", "k").Ready().With(func(c *v1alpha1.ClusterCredential) {
			c.Spec.Hosts = []string{host}
			c.Spec.Allow = &v1alpha1.Allow{Namespaces: &v1alpha1.AllowedNamespaces{Names: []string{build.Namespace}}}
		}).Obj(),
	}
}

// own is a Session that was given a credential of its namespace.
func own() World {
	w := shared()
	w.ClusterCredential, w.MayUse = nil, false
	w.Session.Status.Credentials[1].Ref = v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "own"}
	w.Credential = build.Credential("own").Deliveries(v1alpha1.DeliveryProxy).Ready().With(func(c *v1alpha1.Credential) { c.Status.Hosts = []string{host} }).Obj()
	return w
}

type change = func(*World)

func cluster(f func(*v1alpha1.ClusterCredential)) change {
	return func(w *World) { f(w.ClusterCredential) }
}

func namespaced(f func(*v1alpha1.Credential)) change { return func(w *World) { f(w.Credential) } }

func pinned(f func(*v1alpha1.ResolvedCredential)) change {
	return func(w *World) { f(&w.Session.Status.Credentials[1]) }
}

func notReady(reason string) []metav1.Condition {
	return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: "The reason"}}
}

func TestI4ASessionUsesTheKeyThatItWasGiven(t *testing.T) {
	anthropic := func(w World, g Grant) Grant {
		g.Provider, g.Endpoint, g.Generation, g.Delivery = w.Provider, w.Provider.Spec.Endpoints[0], 1, v1alpha1.DeliveryProxy
		return g
	}
	clusterRef := v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "shared"}
	ownRef := v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "own"}
	cases := map[string]struct {
		world World
		want  Grant
	}{
		"an admin's, from the keep": {shared(), Grant{
			Ref: clusterRef, SecretNamespace: v1alpha1.NamespaceKeys, Secret: v1alpha1.SecretKeyReference{Name: "keys", Key: "k"}, Header: "x-api-key"}},
		"its namespace's, from there": {own(), Grant{
			Ref: ownRef, SecretNamespace: build.Namespace, Secret: v1alpha1.SecretKeyReference{Name: "own", Key: "api-key"}, Header: "x-api-key"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, refusal := For(c.world, "anthropic")
			if refusal != nil {
				t.Fatal(refusal.Message)
			}
			if diff := cmp.Diff(anthropic(c.world, c.want), got); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
		})
	}
	bearer := shared()
	bearer.Provider.Spec.Auth = nil
	if got, refusal := For(bearer, "anthropic"); refusal != nil || got.Header != "Authorization" || got.Prefix != "Bearer " {
		t.Errorf("without auth a key is a bearer token, not %q %q", got.Header, got.Prefix)
	}
}

// refusals are changes after which the credential must not be used any more.
func refusals() map[string]struct {
	world  func() World
	change change
	want   string
} {
	type one = struct {
		world  func() World
		change change
		want   string
	}
	notAllowed, notFound := v1alpha1.ReasonCredentialNotAllowed, v1alpha1.ReasonCredentialNotFound
	return map[string]one{
		"no credential was given":            {shared, func(w *World) { w.Session.Status.Credentials = nil }, notAllowed},
		"one was given for another provider": {shared, pinned(func(r *v1alpha1.ResolvedCredential) { r.Provider = "google" }), notAllowed},
		"it was given in the environment":    {shared, pinned(func(r *v1alpha1.ResolvedCredential) { r.Delivery = v1alpha1.DeliveryEnv }), notAllowed},
		"it was given as a file":             {shared, pinned(func(r *v1alpha1.ResolvedCredential) { r.Delivery = v1alpha1.DeliveryFile }), notAllowed},
		"nobody wrote how it was given":      {shared, pinned(func(r *v1alpha1.ResolvedCredential) { r.Delivery = "" }), notAllowed},
		"it was given itself, and may be put on requests as well": {shared, func(w *World) {
			w.Session.Status.Credentials[1].Delivery = v1alpha1.DeliveryFile
			w.ClusterCredential.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryFile, v1alpha1.DeliveryProxy}
		}, notAllowed},
		"the provider is gone":                   {shared, func(w *World) { w.Provider = nil }, v1alpha1.ReasonProviderNotFound},
		"the provider is nowhere":                {shared, func(w *World) { w.Provider.Spec.Endpoints = nil }, v1alpha1.ReasonProviderNotReady},
		"the namespace is not known":             {shared, func(w *World) { w.Namespace = nil }, notAllowed},
		"the admin's is gone":                    {shared, func(w *World) { w.ClusterCredential = nil }, notFound},
		"the admin's is another":                 {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Name = "x" }), notFound},
		"the admin's is being deleted":           {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.DeletionTimestamp = new(build.Created) }), notFound},
		"the admin's is for another provider":    {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Provider = "openai" }), notAllowed},
		"the admin's allows nobody any more":     {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Allow = nil }), notAllowed},
		"the admin's allows others":              {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Allow.Namespaces.Names = []string{"team-b"} }), notAllowed},
		"the owner may not use the admin's":      {shared, func(w *World) { w.MayUse = false }, notAllowed},
		"there is no owner":                      {shared, func(w *World) { w.Session.Spec.Owner, w.MayUse = nil, false }, notAllowed},
		"the admin's is for environments":        {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryEnv} }), notAllowed},
		"the admin's may go elsewhere":           {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Hosts = []string{"anthropic.example"} }), v1alpha1.ReasonEndpointsChanged},
		"the admin's was recorded for elsewhere": {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Hosts, c.Status.Hosts = nil, []string{"x." + host} }), v1alpha1.ReasonEndpointsChanged},
		"the admin's was recorded for nowhere":   {shared, cluster(func(c *v1alpha1.ClusterCredential) { c.Spec.Hosts = nil }), v1alpha1.ReasonEndpointsChanged},
		"what is recorded does not widen what an admin named": {shared, cluster(func(c *v1alpha1.ClusterCredential) {
			c.Spec.Hosts, c.Status.Hosts = []string{"other.example"}, []string{host}
		}), v1alpha1.ReasonEndpointsChanged},
		"the provider has moved":                  {own, func(w *World) { w.Provider.Spec.Endpoints[0].Host = "evil.example" }, v1alpha1.ReasonEndpointsChanged},
		"the namespace's is gone":                 {own, func(w *World) { w.Credential = nil }, notFound},
		"the namespace's is another namespace's":  {own, namespaced(func(c *v1alpha1.Credential) { c.Namespace = "team-b" }), notFound},
		"the namespace's is another":              {own, namespaced(func(c *v1alpha1.Credential) { c.Name = "x" }), notFound},
		"the namespace's is being deleted":        {own, namespaced(func(c *v1alpha1.Credential) { c.DeletionTimestamp = new(build.Created) }), notFound},
		"the namespace's is for another provider": {own, namespaced(func(c *v1alpha1.Credential) { c.Spec.Provider = "openai" }), notAllowed},
		"the namespace's is for files":            {own, namespaced(func(c *v1alpha1.Credential) { c.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryFile} }), notAllowed},
		"one of a Kind is not one of the other": {shared, func(w *World) {
			w.Session.Status.Credentials[1].Ref.Kind = v1alpha1.CredentialKindCredential
		}, notFound},
	}
}

func TestI4WhatIsNotAllowedNowIsRefused(t *testing.T) {
	for name, c := range refusals() {
		t.Run(name, func(t *testing.T) {
			w := c.world()
			c.change(&w)
			got, refusal := For(w, "anthropic")
			if refusal == nil {
				t.Fatal("it is granted")
			}
			if diff := cmp.Diff(c.want, refusal.Reason); diff != "" {
				t.Errorf("reason (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(Grant{}, got); diff != "" || refusal.Message == "" || strings.HasSuffix(refusal.Message, ".") {
				t.Errorf("%q, with %s", refusal.Message, diff)
			}
		})
	}
}

func TestI4WhatTheKeeperSaysOfAKeyCounts(t *testing.T) {
	cases := map[string]struct {
		conditions []metav1.Condition
		want       string
	}{
		"nobody has looked at it":                {nil, v1alpha1.ReasonCredentialNotReady},
		"it was made for other hosts":            {notReady(v1alpha1.ReasonEndpointsChanged), v1alpha1.ReasonEndpointsChanged},
		"it is of a kind that must not be used":  {notReady(v1alpha1.ReasonTokenKindDenied), v1alpha1.ReasonTokenKindDenied},
		"it is no key":                           {notReady(v1alpha1.ReasonKeyMalformed), v1alpha1.ReasonKeyMalformed},
		"the provider refused it, maybe in vain": {notReady(v1alpha1.ReasonKeyRejected), ""},
		"the provider asked for patience":        {notReady(v1alpha1.ReasonRateLimited), ""},
		"the account has no credit":              {notReady(v1alpha1.ReasonQuotaExhausted), ""},
		"its Secret was not there when looked":   {notReady(v1alpha1.ReasonSecretNotFound), ""},
		"another condition is false": {[]metav1.Condition{
			{Type: "Odd", Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonKeyMalformed}, {Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted}}, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for kind, w := range map[string]World{"ClusterCredential": shared(), "Credential": own()} {
				if w.Credential != nil {
					w.Credential.Status.Conditions = c.conditions
				} else {
					w.ClusterCredential.Status.Conditions = c.conditions
				}
				reason := ""
				if _, refusal := For(w, "anthropic"); refusal != nil {
					reason = refusal.Reason
				}
				if diff := cmp.Diff(c.want, reason); diff != "" {
					t.Errorf("reason for a %s (-want +got):\n%s", kind, diff)
				}
			}
		})
	}
}

// TestWhatIsToBeDoneAboutACredentialDependsOnItsKind: a Credential has no spec.hosts, and one that is new has no hosts recorded yet.
func TestWhatIsToBeDoneAboutACredentialDependsOnItsKind(t *testing.T) {
	moved := func(w World) World { w.Provider.Spec.Endpoints[0].Host = "new.example"; return w }
	fresh, freshShared := own(), shared()
	fresh.Credential.Status = v1alpha1.CredentialStatus{}
	freshShared.ClusterCredential.Spec.Hosts, freshShared.ClusterCredential.Status = nil, v1alpha1.CredentialStatus{}
	cases := map[string]struct {
		world World
		want  Refusal
	}{
		"the namespace's, for another host": {moved(own()), Refusal{v1alpha1.ReasonEndpointsChanged,
			`Credential "own" was not made for host "new.example"; where that is right, make a new Credential`}},
		"an admin's, for another host": {moved(shared()), Refusal{v1alpha1.ReasonEndpointsChanged,
			`ClusterCredential "shared" was not made for host "new.example"; ask an admin whether the key may go there, and to add it to spec.hosts`}},
		"the namespace's, not judged yet": {fresh, Refusal{v1alpha1.ReasonCredentialNotReady, `Credential "own" is new, and is being checked; try again`}},
		"an admin's, not judged yet":      {freshShared, Refusal{v1alpha1.ReasonCredentialNotReady, `ClusterCredential "shared" is new, and is being checked; try again`}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, refusal := For(c.world, "anthropic")
			if diff := cmp.Diff(&c.want, refusal); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

func TestI4AKeyIsHandedOutAsItWasGiven(t *testing.T) {
	deliver := func(w *World, given v1alpha1.Delivery, permitted ...v1alpha1.Delivery) {
		w.Session.Status.Credentials[1].Delivery, w.ClusterCredential.Spec.Deliveries = given, permitted
	}
	env, file, proxy := v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile, v1alpha1.DeliveryProxy
	cases := map[string]struct {
		change change
		want   string // empty: it is handed out
	}{
		"as a file":                    {func(w *World) { deliver(w, file, file) }, ""},
		"in the environment":           {func(w *World) { deliver(w, env, proxy, env) }, ""},
		"to be put on requests":        {func(w *World) { deliver(w, proxy, proxy, env, file) }, v1alpha1.ReasonCredentialNotAllowed},
		"nobody wrote how":             {func(w *World) { deliver(w, "", proxy, env, file) }, v1alpha1.ReasonCredentialNotAllowed},
		"as is not permitted":          {func(w *World) { deliver(w, env, proxy, file) }, v1alpha1.ReasonCredentialNotAllowed},
		"as is not permitted if unset": {func(w *World) { deliver(w, file) }, v1alpha1.ReasonCredentialNotAllowed},
		"for another provider":         {func(w *World) { deliver(w, file, file); w.Session.Status.Credentials[1].Provider = "google" }, v1alpha1.ReasonCredentialNotAllowed},
		"of its namespace": {func(w *World) {
			namespaced := own()
			namespaced.Credential.Spec.Deliveries = []v1alpha1.Delivery{file}
			*w = namespaced
			w.Session.Status.Credentials[1].Delivery = file
		}, v1alpha1.ReasonCredentialNotAllowed},
		"to a namespace that is not allowed": {func(w *World) { deliver(w, file, file); w.ClusterCredential.Spec.Allow = nil }, v1alpha1.ReasonCredentialNotAllowed},
		"that may go elsewhere":              {func(w *World) { deliver(w, file, file); w.ClusterCredential.Spec.Hosts = []string{"x.example"} }, v1alpha1.ReasonEndpointsChanged},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := shared()
			c.change(&w)
			got, refusal := ToHandOut(w, "anthropic")
			if (refusal == nil) != (c.want == "") || (refusal != nil && refusal.Reason != c.want) {
				t.Fatalf("refused because of %+v, want %q", refusal, c.want)
			}
			if refusal == nil && (got.SecretNamespace != v1alpha1.NamespaceKeys || got.Delivery != w.Session.Status.Credentials[1].Delivery) {
				t.Errorf("granted is %+v", got)
			}
		})
	}
}
