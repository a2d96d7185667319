package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/keep"
)

// proxied are the lives of Sessions whose keys stay in the gateway, and whose credentials are an admin's.
func proxied() []Scenario {
	return []Scenario{
		gatewayNotReady(), keyByChannel(), namespaceNotNamed(), namespaceNotLabelled(), chosenButNotAllowed(), deletedBeforeRun(), deletedBetweenRuns(),
		ownNotReady(), passedOver(), gatewaySawWork(), gatewayIsLate(), gatewaySawNothing(), gatewaySawAnEarlierRun(),
	}
}

// careful is a class whose agent never holds the key.
func careful() *build.ClassBuilder {
	return build.Class("opencode").Ready().Credential("anthropic", v1alpha1.RequirementRequired, v1alpha1.DeliveryProxy)
}

// org is an admin's credential, for the namespace of the Session.
func org() *build.ClusterCredentialBuilder {
	return build.ClusterCredential("org").Ready().Allow(build.Namespace)
}

// bundle is how the gateway is known.
func bundle() client.Object {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: keep.GatewayBundle, Namespace: v1alpha1.NamespaceSystem},
		Data:       map[string]string{keep.GatewayBundleKey: "-----BEGIN CERTIFICATE-----\nbm90IG9uZQ==\n-----END CERTIFICATE-----\n"},
	}
}

// withGateway is what a Session needs whose key stays in the gateway.
func withGateway() []client.Object {
	return []client.Object{careful().Obj(), anthropic(), org().Obj(), bundle()}
}

func gatewayNotReady() Scenario {
	return Scenario{
		Name: "the gateway has no certificate yet", Given: []client.Object{careful().Obj(), anthropic(), org().Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonGatewayNotReady),
				Also: []Fact{says("certificates are not published yet"), run(0), pods()},
			},
			{
				When: "the keeper publishes it", Do: []Action{apply(bundle())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(1), paidBy("org"), auth("Cluster/APIKey"), told("https://gateway.test")},
			},
			atWork(),
		},
	}
}

// keyByChannel: what the gateway hands out needs the gateway as well, and the success of such a run not its word.
func keyByChannel() Scenario {
	permit := edit(org().Obj(), func(c *v1alpha1.ClusterCredential) { c.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryFile} })
	holder := build.Class("opencode").Ready().Credential("anthropic", v1alpha1.RequirementRequired, v1alpha1.DeliveryFile)
	return Scenario{
		Name: "an admin's key is handed out to the sandbox", Given: []client.Object{holder.Obj(), anthropic(), org().Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotAllowed),
				Also: []Fact{says("does not permit delivery File"), run(0), pods()},
			},
			{When: "the admin permits it", Do: []Action{permit}, Want: Waiting(v1alpha1.ReasonGatewayNotReady), Also: []Fact{run(0), pods()}},
			{
				When: "the keeper publishes the gateway's certificates", Do: []Action{apply(bundle())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(1), paidBy("org"), auth("Cluster/APIKey"), told("https://gateway.test")},
			},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentFinishes}, Want: Succeeded(), Also: []Fact{left("Fixed it", successCommit())}},
		},
	}
}

func namespaceNotNamed() Scenario {
	return Scenario{
		Name:  "an admin's credential does not name the namespace, and then does",
		Given: []client.Object{careful().Obj(), anthropic(), org().Allow("another-team").Obj(), bundle()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotFound),
				Also: []Fact{says("ask an admin for a ClusterCredential that allows the namespace"), pods()},
			},
			{When: "it is allowed", Do: []Action{allowNamespace}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), paidBy("org")}},
		},
	}
}

func namespaceNotLabelled() Scenario {
	labelled := v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{accessLabel: "true"}}}
	return Scenario{
		Name:  "a namespace lacks the label of an admin's credential, and then has it",
		Given: []client.Object{careful().Obj(), anthropic(), org().AllowedBy(labelled).Obj(), bundle()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotFound), Also: []Fact{pods()}},
			{
				When: "the namespace gets the label", Do: []Action{labelNamespace("true")}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(1), paidBy("org")},
			},
			{
				When: "it loses the label again, and the node is drained", Do: []Action{labelNamespace("false"), agentStarts, podEnds(drained)},
				Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{
				When: "the time comes", Do: []Action{pass(time.Second)}, Want: Waiting(v1alpha1.ReasonCredentialNotAllowed),
				Also: []Fact{says("does not allow namespace"), run(1), paidBy("org")},
			},
		},
	}
}

func chosenButNotAllowed() Scenario {
	return Scenario{
		Name:  "a Session names an admin's credential that does not allow its namespace",
		Given: []client.Object{careful().Obj(), anthropic(), org().Allow("another-team").Obj(), bundle()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().ClusterCredential("anthropic", "org").Obj())},
				Want: Waiting(v1alpha1.ReasonCredentialNotAllowed), Also: []Fact{says("ask an admin to add it to spec.allow.namespaces"), pods()},
			},
			{When: "it is allowed", Do: []Action{allowNamespace}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), paidBy("org")}},
		},
	}
}

func deletedBeforeRun() Scenario {
	return Scenario{
		Name: "an admin's credential is deleted before the run", Given: []client.Object{careful().Obj(), anthropic(), org().Obj()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonGatewayNotReady)},
			{
				When: "the credential goes, and the gateway comes", Do: []Action{remove(org().Obj()), apply(bundle())},
				Want: Waiting(v1alpha1.ReasonCredentialNotFound), Also: []Fact{run(0), pods()},
			},
			{When: "the credential comes back", Do: []Action{apply(org().Obj())}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), paidBy("org")}},
		},
	}
}

func deletedBetweenRuns() Scenario {
	return Scenario{
		Name: "an admin's credential is deleted between two runs", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the credential goes, the namespace gets one of its own, and the node is drained",
				Do: []Action{
					apply(build.Credential("own").Deliveries(v1alpha1.DeliveryProxy).Ready().Obj()), remove(org().Obj()), podEnds(drained),
				},
				Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{
				When: "the time comes", Do: []Action{pass(time.Second)}, Want: Waiting(v1alpha1.ReasonCredentialNotFound),
				Also: []Fact{run(1), paidBy("org")},
			},
			{
				When: "the credential comes back", Do: []Action{apply(org().Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(2), paidBy("org")},
			},
		},
	}
}

// ownUnreadable is a credential of the namespace's own that an admin has to do something for.
func ownUnreadable() *build.CredentialBuilder {
	return build.Credential("own").NotReady(v1alpha1.ReasonSecretNotReadable, "The gateway may not read the Secret; ask an admin")
}

func ownNotReady() Scenario {
	return Scenario{
		Name: "a namespace's own credential is not ready, and nobody else's takes its place", InMemory: judgedByOthers,
		Given: append(withGateway(), ownUnreadable().Obj()),
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotReady),
				Also: []Fact{says("has fallback Never"), says(`Credential "own" is not ready: The gateway may not read the Secret; ask an admin`), run(0), pods()},
			},
			{
				When: "the admin has done it", Do: []Action{judged(build.Credential("own").Ready().Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{paidBy("own"), passedOverFor("")},
			},
		},
	}
}

func passedOver() Scenario {
	const why = `Credential "own" is not ready: The gateway may not read the Secret; ask an admin`
	lenient := careful().With(func(c *v1alpha1.SessionClass) { c.Spec.Fallback = v1alpha1.FallbackShared })
	return Scenario{
		Name: "a namespace's own credential is not ready, and the class lets an admin's take its place", InMemory: judgedByOthers,
		Given: []client.Object{lenient.Obj(), anthropic(), org().Obj(), bundle(), ownUnreadable().Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{paidBy("org"), passedOverFor(why)},
			},
			atWork(),
			{
				When: "the own one becomes ready, and the node is drained",
				Do:   []Action{judged(build.Credential("own").Ready().Obj()), podEnds(drained)}, Want: Retrying(v1alpha1.FailureNodeLost),
				Also: []Fact{paidBy("org"), passedOverFor(why)},
			},
			{
				When: "the time of the next run comes", Do: []Action{pass(time.Second)}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(2), paidBy("org"), passedOverFor(why)},
			},
		},
	}
}

// passedOverFor wants that the Session says for good why another credential pays than the namespace's own.
func passedOverFor(why string) Fact {
	return func(s Seen) string {
		var passed []string
		for _, c := range s.Session.Status.Credentials {
			passed = append(passed, c.PassedOver)
		}
		have := strings.Join(passed, "")
		said := value(meta.FindStatusCondition(s.Session.Status.Conditions, v1alpha1.ConditionCredentialsResolved)).Message
		if !strings.Contains(said, why) || strings.Contains(said, "fallback") != (why != "") {
			return fmt.Sprintf("CredentialsResolved says %q, want %q in it", said, why)
		}
		return differs("passed over", why, have)
	}
}

func gatewaySawWork() Scenario {
	return Scenario{
		Name: "an agent works through the gateway, which counts what it uses", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent reports a failure", Do: []Action{gatewayCounts(2), agentReports(failing(contract.AgentCrashed))},
				Want: Retrying(v1alpha1.FailureAgentCrashed), Also: []Fact{used(2), paidBy("org")},
			},
			{When: "the time of the next run comes", Do: []Action{pass(10 * time.Second)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2)}},
			atWork(),
			{
				When: "the agent reports success", Do: []Action{gatewayCounts(9), agentFinishes}, Want: Succeeded(),
				Also: []Fact{used(9), left("Fixed it", successCommit()), inUse("anthropic")},
			},
		},
	}
}

func gatewayIsLate() Scenario {
	return Scenario{
		Name: "the gateway tells of the work after the pod has ended", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent reports success", Do: []Action{agentFinishes}, Want: Stopping(v1alpha1.ReasonTerminating),
				Also: []Fact{says("what the gateway has seen of its work is awaited"), used(0)},
			},
			{When: "the gateway writes what it saw", Do: []Action{gatewayCounts(5)}, Want: Succeeded(), Also: []Fact{used(5), noPodKept}},
		},
	}
}

func gatewaySawNothing() Scenario {
	return Scenario{
		Name: "an agent claims work of which the gateway saw nothing", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent reports success", Do: []Action{agentFinishes}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{
				When: "half a minute passes", Do: []Action{pass(31 * time.Second)}, Want: Failed(v1alpha1.FailureAgentSilent),
				Also: []Fact{says("the gateway saw no answer of a provider"), used(0), noPodKept},
			},
		},
	}
}

func gatewaySawAnEarlierRun() Scenario {
	return Scenario{
		Name: "a second run claims the work that the gateway saw of the first", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the agent works, and the node is drained", Do: []Action{gatewayCounts(4), pass(5 * time.Second), podEnds(drained)},
				Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{When: "the time of the next run comes", Do: []Action{pass(2 * time.Second)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2)}},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentFinishes}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{When: "half a minute passes", Do: []Action{pass(31 * time.Second)}, Want: Failed(v1alpha1.FailureAgentSilent), Also: []Fact{used(4)}},
		},
		InMemory: "a real API server stamps pods with a time of its own, which does not pass with that of the stage",
	}
}

// allowNamespace is an admin who lets the Session's namespace use the credential.
func allowNamespace(s Stage) {
	s.Helper()
	edit(org().Obj(), func(c *v1alpha1.ClusterCredential) { c.Spec.Allow.Namespaces.Names = []string{s.Namespace()} })(s)
}

// accessLabel is the label by which an admin grants access to a namespace.
const accessLabel = v1alpha1.LabelAccessPrefix + "anthropic"

// labelNamespace is an admin who grants access to the Session's namespace by its label, or takes it away.
func labelNamespace(value string) Action {
	return func(s Stage) {
		s.Helper()
		retryConflicts(s, func() error {
			namespace := &corev1.Namespace{}
			if err := s.API().Get(s.Context(), client.ObjectKey{Name: s.Namespace()}, namespace); err != nil {
				return err
			}
			metav1.SetMetaDataLabel(&namespace.ObjectMeta, accessLabel, value)
			return s.API().Update(s.Context(), namespace)
		})
	}
}

// inUse wants that the gateway has told which credentials it used.
func inUse(providers ...string) Fact {
	return func(s Seen) string {
		var have []string
		for _, c := range s.Session.Status.CredentialsInUse {
			have = append(have, c.Provider)
		}
		slices.Sort(have)
		return differs("credentials in use", providers, have)
	}
}
