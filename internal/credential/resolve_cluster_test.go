package credential

import (
	"math/rand"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/owner"
)

const proxy = v1alpha1.DeliveryProxy

// admins is a World in short in which admins share credentials.
type admins struct {
	session   *build.SessionBuilder
	namespace *corev1.Namespace
	cluster   []*build.ClusterCredentialBuilder
	own       []*build.CredentialBuilder
	pinned    []v1alpha1.ResolvedCredential
	delivery  v1alpha1.Delivery // Proxy when empty
	fallback  v1alpha1.Fallback
	unusable  string // the name of one that the owner may not use
}

func (a admins) world() World {
	s := situation{session: a.session, class: class().Credential("anthropic", required, proxy), providers: providers("anthropic", "openai"), credentials: a.own, pinned: a.pinned}
	if s.session == nil {
		s.session = session()
	}
	if a.delivery != "" {
		s.class = class().Credential("anthropic", required, a.delivery)
	}
	w := s.world()
	w.Namespace, w.Class.Spec.Fallback = a.namespace, a.fallback
	for _, c := range a.cluster {
		o := c.Obj()
		w.ClusterCredentials = append(w.ClusterCredentials, *o)
		if o.Name != a.unusable {
			w.Usable = append(w.Usable, o.Name)
		}
	}
	return w
}

// team is the Session's namespace, with labels "key=value" in pairs.
func team(labels ...string) *corev1.Namespace {
	n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: build.Namespace, Labels: map[string]string{}}}
	for i := 0; i < len(labels); i += 2 {
		n.Labels[labels[i]] = labels[i+1]
	}
	return n
}

// org is an admin's credential for the Session's namespace.
func org(name string) *build.ClusterCredentialBuilder {
	return build.ClusterCredential(name).Allow(build.Namespace).Ready()
}

// inSandbox is an admin's credential whose key may enter the Session's sandbox.
func inSandbox(name string) *build.ClusterCredentialBuilder {
	return org(name).With(func(c *v1alpha1.ClusterCredential) { c.Spec.Deliveries = []v1alpha1.Delivery{env, file} })
}

func orgs(list ...*build.ClusterCredentialBuilder) []*build.ClusterCredentialBuilder { return list }

const (
	shared   = v1alpha1.FallbackShared
	heldBack = `Class "opencode" has fallback Never, so no ClusterCredential takes the place of the namespace's own: `
)

// unreadable is a Credential of the namespace that is not usable until an admin does something.
func unreadable(name string) []*build.CredentialBuilder {
	return []*build.CredentialBuilder{build.Credential(name).NotReady("SecretNotReadable", "Ask an admin")}
}

func ownOne(name string) []*build.CredentialBuilder {
	return []*build.CredentialBuilder{build.Credential(name).Ready()}
}

func pinOf(kind v1alpha1.CredentialKind, name string, delivery v1alpha1.Delivery) []v1alpha1.ResolvedCredential {
	p := pin("anthropic", name, delivery)
	p.Ref.Kind = kind
	return []v1alpha1.ResolvedCredential{p}
}

func labelled() v1alpha1.AllowedNamespaces {
	return v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"access.sandkeep.dev/anthropic": "true"}}}
}

// allowedSituations are those in which a Session runs on what an admin shares, or could.
func allowedSituations() map[string]struct {
	admins
	want answer
} {
	type one = struct {
		admins
		want answer
	}
	everybody := v1alpha1.AllowedNamespaces{From: v1alpha1.NamespacesFromAll}
	return map[string]one{
		"one that names the namespace":              {admins{namespace: team(), cluster: orgs(org("a"))}, chosen("anthropic: a by Proxy")},
		"one for all namespaces":                    {admins{namespace: team(), cluster: orgs(org("a").AllowedBy(everybody))}, chosen("anthropic: a by Proxy")},
		"one that selects the namespace":            {admins{namespace: team("access.sandkeep.dev/anthropic", "true"), cluster: orgs(org("a").AllowedBy(labelled()))}, chosen("anthropic: a by Proxy")},
		"of several the first by name":              {admins{namespace: team(), cluster: orgs(org("b"), org("a"))}, chosen("anthropic: a by Proxy")},
		"the highest priority before the first":     {admins{namespace: team(), cluster: orgs(org("a"), org("b").Priority(1))}, chosen("anthropic: b by Proxy")},
		"no priority before a negative one":         {admins{namespace: team(), cluster: orgs(org("a").Priority(-1), org("b"))}, chosen("anthropic: b by Proxy")},
		"of one priority the first by name":         {admins{namespace: team(), cluster: orgs(org("c").Priority(2), org("b").Priority(2), org("a"))}, chosen("anthropic: b by Proxy")},
		"the namespace's own before every priority": {admins{namespace: team(), cluster: orgs(org("a").Priority(9)), own: ownOne("z")}, chosen("anthropic: z by Proxy")},
		"an admin's where the own one is not ready, and the class permits that": {
			admins{namespace: team(), cluster: orgs(org("z")), own: []*build.CredentialBuilder{build.Credential("a")}, fallback: shared}, chosen("anthropic: z by Proxy"),
		},
		"an admin's where the own one is for Env only, and the class permits that": {
			admins{namespace: team(), cluster: orgs(org("z")), own: []*build.CredentialBuilder{ready("a", "anthropic")}, fallback: shared}, chosen("anthropic: z by Proxy"),
		},
		"the own one that is ready, also where the class permits others": {
			admins{namespace: team(), cluster: orgs(org("z")), own: append(ownOne("b"), build.Credential("a")), fallback: shared}, chosen("anthropic: b by Proxy"),
		},
		"the Session's choice of an admin's, whatever the own one is like": {
			admins{session: session().ClusterCredential("anthropic", "z"), namespace: team(), cluster: orgs(org("z")), own: []*build.CredentialBuilder{build.Credential("a")}},
			chosen("anthropic: z by Proxy"),
		},
		"an admin's where the own one is not shared": {
			admins{namespace: team(), cluster: orgs(org("z")), own: []*build.CredentialBuilder{
				build.Credential("a").With(func(c *v1alpha1.Credential) { c.Spec.Sharing = "Owner" }),
			}}, chosen("anthropic: z by Proxy"),
		},
		"the next one where the first is refused": {
			admins{namespace: team(), cluster: orgs(org("a").Priority(1).NotReady("KeyRejected", "Because"), org("b"))}, chosen("anthropic: b by Proxy"),
		},
		"the next one where the first is being deleted": {
			admins{namespace: team(), cluster: orgs(org("a").Deleting(), org("b"))}, chosen("anthropic: b by Proxy"),
		},
		"the next one where the first allows others": {
			admins{namespace: team(), cluster: orgs(org("a").Allow("team-b"), org("b"))}, chosen("anthropic: b by Proxy"),
		},
		"the next one where the owner may not use the first": {
			admins{namespace: team(), cluster: orgs(org("a").Priority(1), org("b")), unusable: "a"}, chosen("anthropic: b by Proxy"),
		},
		"the own one, whatever the owner may use": {
			admins{namespace: team(), cluster: orgs(org("a")), own: ownOne("z"), unusable: "a"}, chosen("anthropic: z by Proxy"),
		},
		"one that lets the key into the sandbox": {admins{namespace: team(), cluster: orgs(inSandbox("a")), delivery: file}, chosen("anthropic: a by File")},
		"the next one where the first stays in the keep": {
			admins{namespace: team(), cluster: orgs(org("a").Priority(1), inSandbox("b")), delivery: env}, chosen("anthropic: b by Env"),
		},
		"the pin of one that lets the key into the sandbox": {
			admins{namespace: team(), cluster: orgs(org("a"), inSandbox("b")), pinned: pinOf("ClusterCredential", "b", file)}, chosen("anthropic: b by File"),
		},
		"none of another provider": {admins{namespace: team(), cluster: orgs(org("a").Provider("openai"), org("b"))}, chosen("anthropic: b by Proxy")},
		"the Session's choice before priority and the own ones": {
			admins{session: session().ClusterCredential("anthropic", "c"), namespace: team(), cluster: orgs(org("b").Priority(5), org("c")), own: ownOne("a")},
			chosen("anthropic: c by Proxy"),
		},
		"the own one that has the name of an admin's": {
			admins{session: session().Credential("anthropic", "a"), namespace: team(), cluster: orgs(org("a").NotReady("KeyRejected", "Because")), own: ownOne("a")},
			chosen("anthropic: a by Proxy"),
		},
		"the pin, whatever has come since": {
			admins{namespace: team(), cluster: orgs(org("a").Priority(5), org("b")), own: ownOne("a"), pinned: pinOf("ClusterCredential", "b", proxy)},
			chosen("anthropic: b by Proxy"),
		},
	}
}

// forbiddenSituations are those in which what an admin shares is not for the Session.
func forbiddenSituations() map[string]struct {
	admins
	want answer
} {
	type one = struct {
		admins
		want answer
	}
	choice := func() *build.SessionBuilder { return session().ClusterCredential("anthropic", "a") }
	none := missing("CredentialNotFound", `No credential for provider "anthropic" in namespace "team-a"; create a Credential there, or ask an admin for a ClusterCredential that allows the namespace`)
	notFound := missing("CredentialNotFound", `ClusterCredential "a" not found; ask an admin to create it for provider "anthropic"`)
	notAllowed := missing("CredentialNotAllowed", `ClusterCredential "a" does not allow namespace "team-a"; ask an admin to add it to spec.allow.namespaces`)
	notUsable := missing("CredentialNotAllowed", owner.Denied(build.Owner(), owner.ClusterCredential("a")))
	ownerless := session().With(func(s *v1alpha1.Session) { s.Spec.Owner = nil })
	notForEnv := missing("CredentialNotAllowed", `ClusterCredential "a" does not permit delivery Env, which class "opencode" asks for; add it to spec.deliveries or choose another class`)
	return map[string]one{
		"it allows nobody":                            {admins{namespace: team(), cluster: orgs(build.ClusterCredential("a").Ready())}, none},
		"it allows another namespace":                 {admins{namespace: team(), cluster: orgs(org("a").Allow("team-b", "team-aa"))}, none},
		"the namespace lacks the label":               {admins{namespace: team(), cluster: orgs(org("a").AllowedBy(labelled()))}, none},
		"the label has another value":                 {admins{namespace: team("access.sandkeep.dev/anthropic", "false"), cluster: orgs(org("a").AllowedBy(labelled()))}, none},
		"nobody knows the namespace":                  {admins{cluster: orgs(org("a"))}, none},
		"the only one is being deleted":               {admins{namespace: team(), cluster: orgs(org("a").Deleting())}, none},
		"the one chosen allows others":                {admins{session: choice(), namespace: team(), cluster: orgs(org("a").Allow("team-b"), org("b"))}, notAllowed},
		"the one chosen does not exist":               {admins{session: choice(), namespace: team(), cluster: orgs(org("b")), own: ownOne("a")}, notFound},
		"the one chosen is being deleted":             {admins{session: choice(), namespace: team(), cluster: orgs(org("a").Deleting())}, notFound},
		"the class puts the key into the sandbox":     {admins{namespace: team(), cluster: orgs(org("a")), delivery: env}, notForEnv},
		"the pinned one is gone":                      {admins{namespace: team(), cluster: orgs(org("b")), own: ownOne("a"), pinned: pinOf("ClusterCredential", "a", proxy)}, notFound},
		"the pinned one no longer allows":             {admins{namespace: team(), cluster: orgs(org("a").Allow("team-b"), org("b")), pinned: pinOf("ClusterCredential", "a", proxy)}, notAllowed},
		"the pinned one is asked for the key itself":  {admins{namespace: team(), cluster: orgs(org("a")), pinned: pinOf("ClusterCredential", "a", env)}, notForEnv},
		"the own one lists no delivery, and so Proxy": {admins{namespace: team(), own: ownOne("a"), delivery: file}, missing("CredentialNotAllowed", `Credential "a" does not permit delivery File, which class "opencode" asks for; add it to spec.deliveries or choose another class`)},
		"the own one is not ready, and the class does not say that an admin may pay": {
			admins{namespace: team(), cluster: orgs(org("z")), own: unreadable("a")},
			missing("CredentialNotReady", heldBack+`Credential "a" is not ready: Ask an admin`),
		},
		"the own one is not ready, and the class says that an admin must not pay": {
			admins{namespace: team(), cluster: orgs(org("z")), own: unreadable("a"), fallback: v1alpha1.FallbackNever},
			missing("CredentialNotReady", heldBack+`Credential "a" is not ready: Ask an admin`),
		},
		"the own one is for Env only, and the class does not say that an admin may pay": {
			admins{namespace: team(), cluster: orgs(org("z")), own: []*build.CredentialBuilder{ready("a", "anthropic")}},
			missing("CredentialNotAllowed", heldBack+`Credential "a" does not permit delivery Proxy, which class "opencode" asks for; add it to spec.deliveries or choose another class`),
		},
		"the own one is not ready, and there is none that could take its place": {
			admins{namespace: team(), cluster: orgs(org("z").Allow("team-b")), own: unreadable("a")},
			missing("CredentialNotReady", `Credential "a" is not ready: Ask an admin`),
		},
		"neither the own one nor an admin's is ready": {
			admins{namespace: team(), cluster: orgs(org("z").NotReady("KeyRejected", "Because")), own: unreadable("a"), fallback: shared},
			missing("CredentialNotReady", `Credential "a" is not ready: Ask an admin`),
		},
		"the owner may not use it":                 {admins{namespace: team(), cluster: orgs(org("a")), unusable: "a"}, notUsable},
		"the owner may not use the one chosen":     {admins{session: choice(), namespace: team(), cluster: orgs(org("a"), org("b")), own: ownOne("c"), unusable: "a"}, notUsable},
		"the owner may not use the pinned one":     {admins{namespace: team(), cluster: orgs(org("a"), org("b")), own: ownOne("c"), unusable: "a", pinned: pinOf("ClusterCredential", "a", proxy)}, notUsable},
		"nobody allows it, whoever may use it":     {admins{session: choice(), namespace: team(), cluster: orgs(org("a").Allow("team-b")), unusable: "a"}, notAllowed},
		"the owner may use another provider's":     {admins{namespace: team(), cluster: orgs(org("a"), org("b").Provider("openai")), unusable: "a"}, notUsable},
		"the Session has no owner, and is told so": {admins{session: ownerless, namespace: team(), cluster: orgs(org("a")), unusable: "a"}, missing("CredentialNotAllowed", owner.Denied(nil, owner.ClusterCredential("a")))},
		"it is not ready": {
			admins{namespace: team(), cluster: orgs(org("a").NotReady("KeyRejected", "The provider refused the key"))},
			missing("CredentialNotReady", `ClusterCredential "a" is not ready: The provider refused the key`),
		},
		"the one chosen is for another provider": {
			admins{session: choice(), namespace: team(), cluster: orgs(org("a").Provider("openai"))},
			missing("CredentialNotAllowed", `ClusterCredential "a" is for provider "openai", not for "anthropic"; name another one`),
		},
	}
}

func TestASessionRunsOnWhatAnAdminShares(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for name, c := range allowedSituations() {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				w := c.world()
				random.Shuffle(len(w.ClusterCredentials), func(i, j int) {
					w.ClusterCredentials[i], w.ClusterCredentials[j] = w.ClusterCredentials[j], w.ClusterCredentials[i]
				})
				if diff := cmp.Diff(c.want, ask(w)); diff != "" {
					t.Fatalf("answer (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestASessionDoesNotRunOnWhatAnAdminKeeps(t *testing.T) {
	for name, c := range forbiddenSituations() {
		t.Run(name, func(t *testing.T) {
			got := ask(c.world())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			wellPut(t, got.Missing.Message)
		})
	}
}

func TestAskedAreAllThatMayBeChosen(t *testing.T) {
	for name, c := range map[string]struct {
		admins
		want []string
	}{
		"all of the provider that allow the namespace": {
			admins{namespace: team(), cluster: orgs(org("b"), org("a").NotReady("KeyRejected", "Because"), org("c").Provider("openai"), org("d").Allow("team-b"), org("e").Deleting())},
			[]string{"a", "b"},
		},
		"the one chosen": {
			admins{session: session().ClusterCredential("anthropic", "b"), namespace: team(), cluster: orgs(org("a"), org("b"))}, []string{"b"},
		},
		"none where the one chosen does not exist": {
			admins{session: session().ClusterCredential("anthropic", "c"), namespace: team(), cluster: orgs(org("a"), org("b"))}, nil,
		},
		"none where one of the namespace is chosen, whatever its name": {
			admins{session: session().Credential("anthropic", "a"), namespace: team(), cluster: orgs(org("a"))}, nil,
		},
		"the pinned one": {
			admins{namespace: team(), cluster: orgs(org("a").Priority(1), org("b")), pinned: pinOf("ClusterCredential", "b", proxy)}, []string{"b"},
		},
		"none where there are none to pay": {
			admins{namespace: team(), cluster: orgs(org("a")), pinned: []v1alpha1.ResolvedCredential{}}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Asked(c.world())); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoseCredentialItIsIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		admins
		want Resolved
	}{
		"an admin's": {admins{namespace: team(), cluster: orgs(org("a").Secret("in-the-keep", "api-key"))}, Resolved{
			Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindClusterCredential, Name: "a"}, Source: v1alpha1.CredentialSourceCluster,
			Secret: v1alpha1.SecretKeyReference{Name: "in-the-keep", Key: "api-key"},
		}},
		"the namespace's": {admins{namespace: team(), own: ownOne("a")}, Resolved{
			Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: "a"}, Source: v1alpha1.CredentialSourceNamespace,
			Secret: v1alpha1.SecretKeyReference{Name: "a", Key: "api-key"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, missing := Resolve(c.world())
			if missing != nil || len(got) != 1 {
				t.Fatalf("got %v, missing %v", got, missing)
			}
			c.want.Provider, c.want.Delivery, c.want.Method = got[0].Provider, proxy, v1alpha1.CredentialMethodAPIKey
			if diff := cmp.Diff(c.want, got[0]); diff != "" {
				t.Errorf("resolved (-want +got):\n%s", diff)
			}
		})
	}
}

// anyOfTwo is a class that needs one of two providers; the namespace has a Credential for anthropic, and an admin one for openai.
func anyOfTwo(own *build.CredentialBuilder, fallback v1alpha1.Fallback) World {
	w := admins{namespace: team(), cluster: orgs(org("z").Provider("openai")), own: []*build.CredentialBuilder{own}, fallback: fallback}.world()
	w.Class.Spec.Credentials = class().Credential("anthropic", anyOf, proxy).Credential("openai", anyOf, proxy).Obj().Spec.Credentials
	return w
}

// TestAnotherProviderDoesNotMakeAnAdminPayUnsaid: of several providers one is enough, but not to hide that the namespace's own key does not work.
func TestAnotherProviderDoesNotMakeAnAdminPayUnsaid(t *testing.T) {
	for name, c := range map[string]struct {
		World
		want answer
	}{
		"fallback Never":      {anyOfTwo(unreadable("a")[0], ""), missing("CredentialNotReady", heldBack+`Credential "a" is not ready: Ask an admin`)},
		"fallback Shared":     {anyOfTwo(unreadable("a")[0], shared), chosen("openai: z by Proxy")},
		"the own one works":   {anyOfTwo(ownOne("a")[0], ""), chosen("anthropic: a by Proxy", "openai: z by Proxy")},
		"there is no own one": {anyOfTwo(ownOne("a")[0].Provider("google"), ""), chosen("openai: z by Proxy")},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ask(c.World)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhoWasPassedOverIsTold(t *testing.T) {
	const why = `Credential "a" is not ready: Ask an admin`
	pinned := pinOf(v1alpha1.CredentialKindClusterCredential, "z", proxy)
	pinned[0].PassedOver = why
	for name, c := range map[string]struct {
		World
		want string
	}{
		"the own one is not ready":       {admins{namespace: team(), cluster: orgs(org("z")), own: unreadable("a"), fallback: shared}.world(), why},
		"of another provider":            {anyOfTwo(unreadable("a")[0], shared), why},
		"it was, when the Session began": {admins{namespace: team(), cluster: orgs(org("z")), own: ownOne("a"), pinned: pinned}.world(), why},
		"the own one is ready":           {admins{namespace: team(), cluster: orgs(org("z")), own: ownOne("a"), fallback: shared}.world(), ""},
		"there is no own one":            {admins{namespace: team(), cluster: orgs(org("z")), fallback: shared}.world(), ""},
		"the Session itself chose the admin's": {
			admins{session: session().ClusterCredential("anthropic", "z"), namespace: team(), cluster: orgs(org("z")), own: unreadable("a"), fallback: shared}.world(), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, missing := Resolve(c.World)
			if missing != nil || len(got) == 0 || got[0].PassedOver != c.want {
				t.Errorf("resolved %+v, missing %v; want %q passed over", got, missing, c.want)
			}
		})
	}
}
