package scenario

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// lost are the lives of Sessions whose credential stops working while the agent is at work.
func lost() []Scenario {
	return []Scenario{keyLost(), permissionLost(), useLost(), ownKeyLost(), labelLost(), keyInSandbox(), failsForKey()}
}

// stillAtWork wants that the agent was left alone, and that the Session says by which credential it suffers.
func stillAtWork(words string) []Fact {
	pod := func(s Seen) string {
		return differs("SandboxReady", "True Running", line(s.Session, v1alpha1.ConditionSandboxReady))
	}
	return []Fact{pod, run(1), says(words), says("is left at work; where it fails by this, it runs again once its credential works"), paidBy("org")}
}

// resolution wants what CredentialsResolved says.
func resolution(want string) Fact {
	return func(s Seen) string {
		return differs(v1alpha1.ConditionCredentialsResolved, want, line(s.Session, v1alpha1.ConditionCredentialsResolved))
	}
}

// judgedAs is a keeper that says how the admin's credential is.
func judgedAs(reason string) Step {
	return Step{
		When: "the credential becomes " + reason, Do: []Action{judged(org().NotReady(reason, "Somebody must do something").Obj())},
		Want: Refused(reason), Also: stillAtWork(`ClusterCredential "org" is not ready: Somebody must do something`),
	}
}

func keyLost() Scenario {
	sc := Scenario{
		Name: "the key of an admin's credential stops working while the agent is at work", Given: withGateway(), InMemory: judgedByOthers,
		Steps: []Step{applied(session()), atWork()},
	}
	for _, reason := range []string{
		v1alpha1.ReasonKeyRejected, v1alpha1.ReasonRateLimited, v1alpha1.ReasonQuotaExhausted, v1alpha1.ReasonSecretNotFound, v1alpha1.ReasonKeyMalformed,
		v1alpha1.ReasonTokenKindDenied, v1alpha1.ReasonSubscriptionTokenRefused, v1alpha1.ReasonEndpointsChanged,
	} {
		sc.Steps = append(sc.Steps, judgedAs(reason))
	}
	sc.Steps = append(sc.Steps,
		Step{
			When: "the key is right again, and the provider cannot be worked with",
			Do:   []Action{judged(org().Obj()), judged(build.Provider("anthropic").NotReady(v1alpha1.ReasonInvalidEndpoint, "Its caBundle is broken").Obj())},
			Want: Refused(v1alpha1.ReasonProviderNotReady), Also: stillAtWork(`APIProvider "anthropic" is not ready: Its caBundle is broken`),
		},
		Step{When: "the provider is mended", Do: []Action{judged(build.Provider("anthropic").Ready().Obj())}, Want: Running()},
		Step{When: "it works again", Do: []Action{judged(org().Obj())}, Want: Running(), Also: []Fact{run(1), paidBy("org")}},
		judgedAs(v1alpha1.ReasonKeyRejected),
		Step{When: "the agent finishes nevertheless", Do: []Action{gatewayCounts(3), agentFinishes}, Want: Succeeded(), Also: []Fact{used(3)}},
	)
	return sc
}

func permissionLost() Scenario {
	return Scenario{
		Name: "an admin takes a credential away while the agent is at work", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the namespace is not allowed any more",
				Do:   []Action{edit(org().Obj(), func(c *v1alpha1.ClusterCredential) { c.Spec.Allow.Namespaces.Names = []string{"another-team"} })},
				Want: Refused(v1alpha1.ReasonCredentialNotAllowed), Also: stillAtWork("does not allow namespace"),
			},
			{When: "it is allowed again", Do: []Action{allowNamespace}, Want: Running()},
			{
				When: "the credential is deleted", Do: []Action{remove(org().Obj())},
				Want: Refused(v1alpha1.ReasonCredentialNotFound), Also: stillAtWork("not found"),
			},
			{When: "it comes back", Do: []Action{apply(org().Obj())}, Want: Running()},
			{
				When: "the provider is deleted", Do: []Action{remove(anthropic())},
				Want: Refused(v1alpha1.ReasonProviderNotFound), Also: stillAtWork("not found"),
			},
			{When: "it comes back", Do: []Action{apply(anthropic())}, Want: Running(), Also: []Fact{run(1)}},
		},
	}
}

func useLost() Scenario {
	return Scenario{
		Name: "the owner may not use an admin's credential any more while the agent is at work", Given: withGateway(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the permission is taken away, and the agent asks", Do: []Action{permit(classes), pass(time.Minute), gatewayCounts(1)},
				Want: Refused(v1alpha1.ReasonCredentialNotAllowed), Also: stillAtWork("may not use ClusterCredential"),
			},
			{When: "it is permitted again, and half a minute passes", Do: []Action{permit(Resources...), pass(40 * time.Second)}, Want: Running(), Also: []Fact{run(1)}},
		},
	}
}

func ownKeyLost() Scenario {
	own := func() *build.CredentialBuilder {
		return build.Credential("own").Deliveries(v1alpha1.DeliveryProxy).Ready()
	}
	return Scenario{
		Name: "a namespace's own credential is lost while the agent is at work", InMemory: judgedByOthers,
		Given: []client.Object{careful().Obj(), anthropic(), own().Obj(), bundle()},
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the gateway may not read the key any more", Do: []Action{judged(own().NotReady(v1alpha1.ReasonSecretNotReadable, "Ask an admin").Obj())},
				Want: Refused(v1alpha1.ReasonSecretNotReadable), Also: []Fact{says(`Credential "own" is not ready: Ask an admin`), paidBy("own")},
			},
			{When: "it may again", Do: []Action{judged(own().Obj())}, Want: Running()},
			{
				When: "it must not be delivered by Proxy any more",
				Do:   []Action{edit(own().Obj(), func(c *v1alpha1.Credential) { c.Spec.Deliveries = []v1alpha1.Delivery{v1alpha1.DeliveryEnv} })},
				Want: Refused(v1alpha1.ReasonCredentialNotAllowed), Also: []Fact{says("does not permit delivery Proxy any more")},
			},
			{
				When: "one comes in its place that nobody has looked at", Do: []Action{remove(own().Obj()), apply(build.Credential("own").Obj())},
				Want: Refused(v1alpha1.ReasonCredentialNotReady), Also: []Fact{says("is being checked"), run(1)},
			},
		},
	}
}

func labelLost() Scenario {
	labelled := v1alpha1.AllowedNamespaces{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{accessLabel: "true"}}}
	return Scenario{
		Name:  "a namespace loses the label of an admin's credential while the agent is at work",
		Given: []client.Object{careful().Obj(), anthropic(), org().AllowedBy(labelled).Obj(), bundle()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{labelNamespace("true"), apply(session().Obj())}, Want: Starting(v1alpha1.ReasonStarting)},
			atWork(),
			{
				When: "the label goes", Do: []Action{labelNamespace("false")},
				Want: Refused(v1alpha1.ReasonCredentialNotAllowed), Also: stillAtWork("does not allow namespace"),
			},
			{When: "the label comes back", Do: []Action{labelNamespace("true")}, Want: Running()},
		},
	}
}

func keyInSandbox() Scenario {
	return Scenario{
		Name: "a credential whose key is in the sandbox is deleted while the agent is at work", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the credential goes, which takes nothing from the agent", Do: []Action{remove(shared().Obj())}, Want: Running(), Also: []Fact{run(1)}},
		},
	}
}

func failsForKey() Scenario {
	rejected := org().NotReady(v1alpha1.ReasonKeyRejected, "The provider refused the key twice").Obj()
	return Scenario{
		Name: "an agent gives up because its key is refused, and waits for a better one", Given: withGateway(), InMemory: judgedByOthers,
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the provider refuses the key", Do: []Action{judged(rejected)}, Want: Refused(v1alpha1.ReasonKeyRejected)},
			{
				When: "the agent gives up", Do: []Action{agentReports(failing(contract.ProviderAuthenticationFailed))},
				Want: Retrying(v1alpha1.FailureProviderAuthenticationFailed), Also: []Fact{failures(0), resolution("False KeyRejected")},
			},
			{
				When: "the time of the next run comes", Do: []Action{pass(time.Minute)}, Want: Waiting(v1alpha1.ReasonCredentialNotReady),
				Also: []Fact{run(1), says(`ClusterCredential "org" is not ready: The provider refused the key twice`)},
			},
			{When: "the key is changed", Do: []Action{judged(org().Obj())}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2), failures(0), paidBy("org")}},
		},
	}
}
