package credential

import (
	"maps"
	"math/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
)

const (
	required = v1alpha1.RequirementRequired
	anyOf    = v1alpha1.RequirementAnyOf
	optional = v1alpha1.RequirementOptional
	env      = v1alpha1.DeliveryEnv
	file     = v1alpha1.DeliveryFile
)

func class() *build.ClassBuilder { return build.Class("opencode") }

func session() *build.SessionBuilder { return build.Session("fix-login") }

// ready is a usable Credential for a provider.
func ready(name, provider string) *build.CredentialBuilder {
	return build.Credential(name).Provider(provider).Deliveries(env, file).Ready()
}

// providers are usable APIProviders.
func providers(names ...string) []*build.ProviderBuilder {
	var list []*build.ProviderBuilder
	for _, name := range names {
		list = append(list, build.Provider(name).Ready())
	}
	return list
}

func pin(provider, name string, delivery v1alpha1.Delivery) v1alpha1.ResolvedCredential {
	return v1alpha1.ResolvedCredential{
		Provider: provider, Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: name}, Delivery: delivery,
		Source: v1alpha1.CredentialSourceNamespace, Method: v1alpha1.CredentialMethodAPIKey,
	}
}

// situation is a World in short.
type situation struct {
	session     *build.SessionBuilder
	class       *build.ClassBuilder
	providers   []*build.ProviderBuilder
	credentials []*build.CredentialBuilder
	pinned      []v1alpha1.ResolvedCredential
}

func (s situation) world() World {
	w := World{Session: s.session.Obj(), Class: s.class.Obj(), Pinned: s.pinned}
	for _, p := range s.providers {
		w.Providers = append(w.Providers, *p.Obj())
	}
	for _, c := range s.credentials {
		w.Credentials = append(w.Credentials, *c.Obj())
	}
	return w
}

// answer is what Resolve says: credentials as "provider: name by delivery", or what is missing.
type answer struct {
	Chosen  []string
	Missing *Missing
}

func ask(w World) answer {
	chosen, missing := Resolve(w)
	var a answer
	a.Missing = missing
	for _, r := range chosen {
		a.Chosen = append(a.Chosen, r.Provider.Name+": "+r.Ref.Name+" by "+string(r.Delivery))
	}
	return a
}

func chosen(list ...string) answer { return answer{Chosen: list} }

func missing(reason, message string) answer { return answer{Missing: &Missing{reason, message}} }

// chosenSituations are those in which a Session can run.
func chosenSituations() map[string]struct {
	situation
	want answer
} {
	type one = struct {
		situation
		want answer
	}
	two := providers("anthropic", "openai")
	both := class().Credential("anthropic", anyOf, env).Credential("openai", anyOf, file)
	shared := func(names ...string) []*build.CredentialBuilder {
		var list []*build.CredentialBuilder
		for _, name := range names {
			list = append(list, ready(name, "anthropic"))
		}
		return list
	}
	return map[string]one{
		"a class without providers asks for nothing": {situation{session(), class(), nil, nil, nil}, answer{}},
		"the shared one of the namespace is used": {
			situation{session(), class().Credential("anthropic", required, file), two, shared("a"), nil}, chosen("anthropic: a by File"),
		},
		"the first by name is used": {
			situation{session(), class().Credential("anthropic", required, env), two, shared("c", "a", "b"), nil}, chosen("anthropic: a by Env"),
		},
		"one that is not accepted is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two,
				append(shared("b"), build.Credential("a").NotReady("ProviderNotFound", "Because")), nil}, chosen("anthropic: b by Env"),
		},
		"one that nobody has looked at is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two, append(shared("b"), build.Credential("a")), nil},
			chosen("anthropic: b by Env"),
		},
		"one that is being deleted is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two, append(shared("b"), ready("a", "anthropic").Deleting()), nil},
			chosen("anthropic: b by Env"),
		},
		"one that does not permit the delivery is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two, append(shared("b"), ready("a", "anthropic").Deliveries(file)), nil},
			chosen("anthropic: b by Env"),
		},
		"one that permits the delivery among others is used": {
			situation{session(), class().Credential("anthropic", required, env), two, append(shared("b"), ready("a", "anthropic").Deliveries(file, env)), nil},
			chosen("anthropic: a by Env"),
		},
		"one that is not shared is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two,
				append(shared("b"), ready("a", "anthropic").With(func(c *v1alpha1.Credential) { c.Spec.Sharing = "Owner" })), nil},
			chosen("anthropic: b by Env"),
		},
		"one of another provider is passed over": {
			situation{session(), class().Credential("anthropic", required, env), two, append(shared("b"), ready("a", "openai")), nil},
			chosen("anthropic: b by Env"),
		},
		"the Session's own choice goes before the first by name": {
			situation{session().Credential("anthropic", "z"), class().Credential("anthropic", required, env), two, shared("a", "z"), nil},
			chosen("anthropic: z by Env"),
		},
		"every required provider gets its own, in the order of the class": {
			situation{session(), class().Credential("openai", required, file).Credential("anthropic", required, env), two,
				[]*build.CredentialBuilder{ready("a", "anthropic"), ready("o", "openai")}, nil},
			chosen("openai: o by File", "anthropic: a by Env"),
		},
		"an optional provider is used where it can be": {
			situation{session(), class().Credential("anthropic", optional, env), two, shared("a"), nil}, chosen("anthropic: a by Env"),
		},
		"an optional provider is done without where it cannot": {
			situation{session(), class().Credential("anthropic", optional, env).Credential("openai", optional, env), two,
				[]*build.CredentialBuilder{build.Credential("a").NotReady("ProviderNotFound", "Because")}, nil}, answer{},
		},
		"one of any is enough": {
			situation{session(), both, two, []*build.CredentialBuilder{ready("o", "openai")}, nil}, chosen("openai: o by File"),
		},
		"all of any are used where they can be": {
			situation{session(), both, two, []*build.CredentialBuilder{ready("o", "openai"), ready("a", "anthropic")}, nil},
			chosen("anthropic: a by Env", "openai: o by File"),
		},
		"the model says which of any, and the other is optional": {
			situation{session().Model("openai/gpt"), both, two, []*build.CredentialBuilder{ready("o", "openai")}, nil}, chosen("openai: o by File"),
		},
		"a model of no provider of the class changes nothing": {
			situation{session().Model("llama/8b"), both, two, []*build.CredentialBuilder{ready("a", "anthropic")}, nil}, chosen("anthropic: a by Env"),
		},
		"a choice for one of any is required, and so is enough": {
			situation{session().Credential("openai", "o"), both.With(func(*v1alpha1.SessionClass) {}), two,
				[]*build.CredentialBuilder{ready("o", "openai"), ready("a", "anthropic")}, nil},
			chosen("anthropic: a by Env", "openai: o by File"),
		},
		"a choice for one of any is enough, whatever the others lack": {
			situation{session().Credential("openai", "o"), both, two, []*build.CredentialBuilder{ready("o", "openai")}, nil}, chosen("openai: o by File"),
		},
		"what is pinned stays, whatever else there is": {
			situation{session(), class().Credential("anthropic", required, file), two, shared("a", "z"),
				[]v1alpha1.ResolvedCredential{pin("anthropic", "z", env)}}, chosen("anthropic: z by Env"),
		},
		"what is pinned stays, whatever the class says now": {
			situation{session(), class().Credential("openai", required, env), two, shared("a"),
				[]v1alpha1.ResolvedCredential{pin("anthropic", "a", env)}}, chosen("anthropic: a by Env"),
		},
		"a pin of nobody stays as well": {
			situation{session(), class().Credential("anthropic", required, env), two, shared("a"), []v1alpha1.ResolvedCredential{}}, answer{},
		},
	}
}

// missingSituations are those in which a Session waits.
func missingSituations() map[string]struct {
	situation
	want answer
} {
	type one = struct {
		situation
		want answer
	}
	known := providers("anthropic", "openai")
	needs := func() *build.ClassBuilder { return class().Credential("anthropic", required, env) }
	both := func() *build.ClassBuilder {
		return class().Credential("openai", anyOf, env).Credential("anthropic", anyOf, env)
	}
	ofA := func(b *build.CredentialBuilder) []*build.CredentialBuilder { return []*build.CredentialBuilder{b} }
	noneHere := missing("CredentialNotFound", `No credential for provider "anthropic" in namespace "team-a"; create a Credential there, or ask an admin for a ClusterCredential that allows the namespace`)
	notFound := missing("CredentialNotFound", `Credential "a" not found in namespace "team-a"; create it for provider "anthropic"`)
	notReady := missing("CredentialNotReady", `Credential "a" is not ready: The Secret is of another type`)
	refused := func() *build.CredentialBuilder {
		return build.Credential("a").Deliveries(env, file).NotReady("Invalid", "The Secret is of another type")
	}
	return map[string]one{
		"nobody shares one": {situation{session(), needs(), known, nil, nil}, noneHere},
		"the only one is being deleted": {
			situation{session(), needs(), known, ofA(ready("a", "anthropic").Deleting()), nil}, noneHere,
		},
		"the only one is of another provider": {situation{session(), needs(), known, ofA(ready("a", "openai")), nil}, noneHere},
		"the only one is not accepted":        {situation{session(), needs(), known, ofA(refused()), nil}, notReady},
		"nobody has looked at the only one": {
			situation{session(), needs(), known, ofA(build.Credential("a").Deliveries(env)), nil},
			missing("CredentialNotReady", `Credential "a" is not ready: it is new, and is being checked`),
		},
		"the only one does not permit the delivery": {
			situation{session(), needs(), known, ofA(ready("a", "anthropic").Deliveries(file)), nil},
			missing("CredentialNotAllowed", `Credential "a" does not permit delivery Env, which class "opencode" asks for; add it to spec.deliveries or choose another class`),
		},
		"of several that cannot be used the first by name is told": {
			situation{session(), needs(), known, []*build.CredentialBuilder{ready("b", "anthropic").Deliveries(file), refused()}, nil}, notReady,
		},
		"the one chosen does not exist, though another does": {
			situation{session().Credential("anthropic", "a"), needs(), known, ofA(ready("z", "anthropic")), nil}, notFound,
		},
		"the one chosen is being deleted": {
			situation{session().Credential("anthropic", "a"), needs(), known, ofA(ready("a", "anthropic").Deleting()), nil}, notFound,
		},
		"the one chosen is for another provider": {
			situation{session().Credential("anthropic", "o"), needs(), known, ofA(ready("o", "openai")), nil},
			missing("CredentialNotAllowed", `Credential "o" is for provider "openai", not for "anthropic"; name another one`),
		},
		"one is chosen for an optional provider, and does not exist": {
			situation{session().Credential("anthropic", "a"), class().Credential("anthropic", optional, env), known, nil, nil}, notFound,
		},
		"one is chosen for a provider that the class does not use": {
			situation{session().Credential("google", "g"), needs(), known, ofA(ready("a", "anthropic")), nil},
			missing("CredentialNotAllowed", `Class "opencode" does not use provider "google", for which the Session names a credential; choose another class or ask its admin to add the provider`),
		},
		"the provider does not exist": {
			situation{session(), needs(), providers("openai"), ofA(ready("a", "anthropic")), nil},
			missing("ProviderNotFound", `APIProvider "anthropic" not found; ask an admin to create it`),
		},
		"the provider is not accepted": {
			situation{session(), needs(), []*build.ProviderBuilder{build.Provider("anthropic").NotReady("Invalid", "The endpoint is not allowed")}, ofA(ready("a", "anthropic")), nil},
			missing("ProviderNotReady", `APIProvider "anthropic" is not ready: The endpoint is not allowed`),
		},
		"neither provider nor credential are accepted: the provider comes first": {
			situation{session(), needs(), []*build.ProviderBuilder{build.Provider("anthropic")}, ofA(refused()), nil},
			missing("ProviderNotReady", `APIProvider "anthropic" is not ready: it is new, and is being checked`),
		},
		"none of any is there": {
			situation{session(), both(), known, nil, nil},
			missing("CredentialNotFound", `No credential in namespace "team-a" for any of the providers anthropic, openai; create a Credential there, or ask an admin for a ClusterCredential that allows the namespace`),
		},
		"one of any is there, but cannot be used": {situation{session(), both(), known, ofA(refused()), nil}, notReady},
		"any of one is that one":                  {situation{session(), class().Credential("anthropic", anyOf, env), known, nil, nil}, noneHere},
		"any is there, but a required one is not": {
			situation{session(), class().Credential("openai", anyOf, env).Credential("anthropic", required, env), known, ofA(ready("o", "openai")), nil}, noneHere,
		},
		"the model's provider has none, though any other has": {
			situation{session().Model("anthropic/claude"), both(), known, ofA(ready("o", "openai")), nil}, noneHere,
		},
		"the model's provider has none, though it is optional": {
			situation{session().Model("anthropic"), class().Credential("anthropic", optional, env), known, nil, nil}, noneHere,
		},
		"what is pinned is gone, and nothing else is taken": {
			situation{session(), needs(), known, ofA(ready("b", "anthropic")), []v1alpha1.ResolvedCredential{pin("anthropic", "a", env)}}, notFound,
		},
		"what is pinned is no longer accepted": {
			situation{session(), needs(), known, append(ofA(refused()), ready("b", "anthropic")), []v1alpha1.ResolvedCredential{pin("anthropic", "a", env)}}, notReady,
		},
		"what is pinned no longer permits the delivery": {
			situation{session(), needs(), known, ofA(ready("a", "anthropic").Deliveries(env)), []v1alpha1.ResolvedCredential{pin("anthropic", "a", file)}},
			missing("CredentialNotAllowed", `Credential "a" does not permit delivery File, which class "opencode" asks for; add it to spec.deliveries or choose another class`),
		},
	}
}

func TestASessionRunsOnTheseCredentials(t *testing.T) {
	for name, c := range chosenSituations() {
		t.Run(name, func(t *testing.T) {
			w := c.world()
			if diff := cmp.Diff(c.want, ask(w)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.world(), w); diff != "" {
				t.Errorf("world (-before +after):\n%s", diff)
			}
		})
	}
}

func TestASessionWaitsForTheseThings(t *testing.T) {
	for name, c := range missingSituations() {
		t.Run(name, func(t *testing.T) {
			got := ask(c.world())
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			wellPut(t, got.Missing.Message)
		})
	}
}

func TestWhoPaysDoesNotDependOnTheOrderOfLists(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	situations := chosenSituations()
	maps.Copy(situations, missingSituations())
	for name, c := range situations {
		for range 20 {
			w := c.world()
			random.Shuffle(len(w.Providers), func(i, j int) { w.Providers[i], w.Providers[j] = w.Providers[j], w.Providers[i] })
			random.Shuffle(len(w.Credentials), func(i, j int) { w.Credentials[i], w.Credentials[j] = w.Credentials[j], w.Credentials[i] })
			if diff := cmp.Diff(c.want, ask(w)); diff != "" {
				t.Fatalf("%s: answer (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestWhatWasChosenIsChosenAgainByItsPin(t *testing.T) {
	for name, c := range chosenSituations() {
		w := c.world()
		first, _ := Resolve(w)
		w.Pinned = []v1alpha1.ResolvedCredential{}
		for _, r := range first {
			w.Pinned = append(w.Pinned, pin(r.Provider.Name, r.Ref.Name, r.Delivery))
		}
		again, missing := Resolve(w)
		if missing != nil || len(first) != len(again) {
			t.Fatalf("%s: first %d credentials, then %d and %v", name, len(first), len(again), missing)
		}
		for i := range first {
			if diff := cmp.Diff(first[i], again[i]); diff != "" {
				t.Errorf("%s: credential %d (-first +again):\n%s", name, i, diff)
			}
		}
	}
}

// wellPut checks the form of a message: a capital first, one line, no final dot.
func wellPut(t *testing.T, message string) {
	t.Helper()
	if message == "" || strings.ContainsAny(message, "\n\r\t") || strings.HasSuffix(message, ".") {
		t.Errorf("message %q is not one line without a final dot", message)
	}
	if first := message[:min(1, len(message))]; strings.ToUpper(first) != first {
		t.Errorf("message %q does not begin with a capital letter", message)
	}
}
