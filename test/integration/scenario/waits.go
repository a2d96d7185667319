package scenario

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/sandbox"
)

// waits are the things that a Session waits for, and what happens when they come.
func waits() []Scenario {
	return append(anyOrder(),
		defaultClass(), twoDefaultClasses(), classNotReady(), classNotSeen(), invalidTemplate(), providerNotReady(), credentialNotReady(),
		deliveryNotAllowed(), secretMissing(), imageMissing(), credentialMended(), imageMended(), nodeMissing(), tooMuch(), tooLong(), credentialDeletedBetweenRuns(),
		credentialsChangedBeforePod(), podRefused(),
	)
}

// anyOrder are the orders in which class, provider and credential can be applied after the Session.
func anyOrder() []Scenario {
	objects := map[string]client.Object{"class": opencode().Obj(), "provider": anthropic(), "credential": shared().Obj()}
	var list []Scenario
	for _, order := range []string{
		"class provider credential", "class credential provider", "provider class credential",
		"provider credential class", "credential class provider", "credential provider class",
	} {
		steps := []Step{{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonClassNotFound), Also: []Fact{pods()}}}
		names := strings.Fields(order)
		for i, name := range names {
			steps = append(steps, Step{When: "the " + name + " is applied", Do: []Action{apply(objects[name])}, Want: waitsWith(names[:i+1])})
		}
		list = append(list, Scenario{
			Name: "applied after the Session: " + strings.Join(names, ", "), Steps: append(steps, atWork()), Variant: len(list) > 0,
		})
	}
	return list
}

// waitsWith is what a Session still waits for when some of class, provider and credential are there.
func waitsWith(have []string) State {
	has := func(name string) bool { return strings.Contains(strings.Join(have, " "), name) }
	switch {
	case !has("class"):
		return Waiting(v1alpha1.ReasonClassNotFound)
	case !has("credential"):
		return Waiting(v1alpha1.ReasonCredentialNotFound)
	case !has("provider"):
		return Waiting(v1alpha1.ReasonProviderNotFound)
	}
	return Starting(v1alpha1.ReasonStarting)
}

const defaultsAreShared = "the default class is the same for everybody"

func defaultClass() Scenario {
	return Scenario{
		Name: "a Session waits for a default class", Given: []client.Object{anthropic(), shared().Obj(), opencode().Obj()}, InMemory: defaultsAreShared,
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Class("").Obj())}, Want: Waiting(v1alpha1.ReasonClassNotFound)},
			{
				When: "a class becomes the default",
				Do: []Action{editClass(func(c *v1alpha1.SessionClass) {
					c.Annotations = map[string]string{v1alpha1.AnnotationDefaultClass: "true"}
				})},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{class("opencode")},
			},
		},
	}
}

func twoDefaultClasses() Scenario {
	return Scenario{
		Name: "of two default classes the newer counts, and a third one moves nobody", InMemory: defaultsAreShared,
		Steps: []Step{
			{
				When: "two classes and a Session are applied",
				Do: []Action{
					apply(build.Class("older").Ready().Default().Obj()), pass(time.Minute), apply(build.Class("newer").Ready().Default().Obj()),
					apply(session().Class("").Obj()),
				},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{class("newer")},
			},
			{
				When: "the pod is lost, and meanwhile there is another default",
				Do:   []Action{pass(time.Minute), apply(build.Class("newest").Ready().Default().Obj()), agentStarts, podEnds(drained)},
				Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{When: "the time comes", Do: []Action{pass(time.Second)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(2), class("newer")}},
		},
	}
}

const judgedByOthers = "the status of the object is its own reconciler's"

func classNotReady() Scenario {
	return Scenario{
		Name: "a class is not ready", InMemory: judgedByOthers,
		Given: []client.Object{build.Class("opencode").NotReady("ProviderNotFound", "APIProvider \"anthropic\" not found; create it").Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonClassNotReady),
				Also: []Fact{says("not ready: APIProvider")},
			},
			{When: "the class becomes ready", Do: []Action{judged(build.Class("opencode").Ready().Obj())}, Want: Starting(v1alpha1.ReasonStarting)},
		},
	}
}

func classNotSeen() Scenario {
	return Scenario{
		Name: "nobody has looked at a class yet", InMemory: judgedByOthers,
		Given: []client.Object{build.Class("opencode").Obj()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonClassNotReady)},
			{When: "the class becomes ready", Do: []Action{judged(build.Class("opencode").Ready().Obj())}, Want: Starting(v1alpha1.ReasonStarting)},
		},
	}
}

func invalidTemplate() Scenario {
	hostPath := corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}
	return Scenario{
		Name: "a class has a template that cannot become a sandbox",
		Given: []client.Object{build.Class("opencode").Ready().Template(func(spec *corev1.PodSpec) {
			spec.Volumes = append(spec.Volumes, hostPath)
		}).Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonClassNotReady),
				Also: []Fact{says("hostPath"), pods()},
			},
			{
				When: "the class is corrected",
				Do: []Action{
					editClass(func(c *v1alpha1.SessionClass) { c.Spec.PodTemplate.Spec.Volumes = nil }),
					judged(build.Class("opencode").Ready().With(func(c *v1alpha1.SessionClass) { c.Status.Conditions[0].ObservedGeneration = 2 }).Obj()),
				},
				Want: Starting(v1alpha1.ReasonStarting),
			},
		},
	}
}

func providerNotReady() Scenario {
	return Scenario{
		Name: "a provider is not ready", InMemory: judgedByOthers,
		Given: []client.Object{opencode().Obj(), shared().Obj(), build.Provider("anthropic").NotReady("InvalidTemplate", "It has no endpoint").Obj()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonProviderNotReady)},
			{When: "the provider becomes ready", Do: []Action{judged(anthropic())}, Want: Starting(v1alpha1.ReasonStarting)},
		},
	}
}

func credentialNotReady() Scenario {
	return Scenario{
		Name: "a credential is not ready", InMemory: judgedByOthers,
		Given: []client.Object{opencode().Obj(), anthropic(), inSandbox(build.Credential("shared")).Obj()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotReady)},
			{When: "the credential becomes ready", Do: []Action{judged(shared().Obj())}, Want: Starting(v1alpha1.ReasonStarting)},
		},
	}
}

func deliveryNotAllowed() Scenario {
	return Scenario{
		Name:  "a credential does not permit what the class asks for",
		Given: []client.Object{opencode().Obj(), anthropic(), shared().Deliveries(v1alpha1.DeliveryFile).Obj()},
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonCredentialNotAllowed)},
			{
				When: "there is another credential", Do: []Action{apply(inSandbox(build.Credential("zealous").Ready()).Obj())},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{paidBy("zealous")},
			},
		},
	}
}

func secretMissing() Scenario {
	return Scenario{
		Name: "the Secret of a credential is missing", Given: everything(),
		Steps: []Step{
			applied(session()),
			{
				When: "the kubelet finds no Secret", Do: []Action{containerWaits(sandbox.InstallContainer, "CreateContainerConfigError", `secret "shared" not found`)},
				Want: Waiting(v1alpha1.ReasonCredentialNotReady), Also: []Fact{says(`Secret "shared" not found`), says("create it")},
			},
			{
				When: "the kubelet finds the Secret, but no key",
				Do:   []Action{containerWaits(sandbox.InstallContainer, "CreateContainerConfigError", "couldn't find key api-key in Secret team-a/shared")},
				Want: Waiting(v1alpha1.ReasonCredentialNotReady), Also: []Fact{says(`has no key "api-key"`)},
			},
			atWork(),
		},
	}
}

func imageMissing() Scenario {
	return Scenario{
		Name: "an image cannot be pulled", Given: everything(),
		Steps: []Step{
			applied(session()),
			{
				When: "the kubelet cannot pull it", Do: []Action{containerWaits(sandbox.AgentContainer, "ImagePullBackOff", "Back-off pulling image")},
				Want: Starting(v1alpha1.ReasonImagePullFailed), Also: []Fact{says("registry.example/agent:1")},
			},
			atWork(),
		},
	}
}

func credentialMended() Scenario {
	return Scenario{
		Name: "a credential names the wrong Secret, and then the right one", Given: everything(),
		Steps: append([]Step{
			applied(session()),
			{
				When: "the kubelet finds no Secret", Do: []Action{containerWaits(sandbox.InstallContainer, "CreateContainerConfigError", `secret "shared" not found`)},
				Want: Waiting(v1alpha1.ReasonCredentialNotReady),
			},
			{When: "the credential is mended", Do: []Action{editCredential(func(c *v1alpha1.Credential) { c.Spec.APIKey.SecretRef.Name = "another" })}, Want: Stopping(v1alpha1.ReasonTerminating)},
			{When: "the pod has ended", Do: []Action{podEnds(neverStarted)}, Want: Retrying(v1alpha1.FailureNodeLost), Also: []Fact{failures(0), paidBy("shared")}},
		}, nextRun(time.Second)...),
	}
}

func imageMended() Scenario {
	mended := build.Class("opencode").Ready().With(func(c *v1alpha1.SessionClass) { c.Status.Conditions[0].ObservedGeneration = 2 }).Obj()
	return Scenario{
		Name: "a class names the wrong image, and then the right one", Given: everything(),
		Steps: append([]Step{
			applied(session()),
			{
				When: "the kubelet cannot pull it", Do: []Action{containerWaits(sandbox.AgentContainer, "ImagePullBackOff", "Back-off pulling image")},
				Want: Starting(v1alpha1.ReasonImagePullFailed),
			},
			{
				When: "the class is mended",
				Do: []Action{
					editClass(func(c *v1alpha1.SessionClass) {
						c.Spec.PodTemplate.Spec.Containers[0].Image = "registry.example/agent:2"
					}),
					judged(mended),
				},
				Want: Stopping(v1alpha1.ReasonTerminating),
			},
			{When: "the pod has ended", Do: []Action{podEnds(neverStarted)}, Want: Retrying(v1alpha1.FailureNodeLost), Also: []Fact{failures(0)}},
		}, nextRun(time.Second)...),
	}
}

func nodeMissing() Scenario {
	return Scenario{
		Name: "no node takes the pod", Given: everything(),
		Steps: []Step{
			applied(session()),
			{When: "the scheduler says so", Do: []Action{noNode}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{says("No node takes pod")}},
			atWork(),
		},
	}
}

func tooMuch() Scenario {
	small := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
	large := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Gi")}
	limits := func(l *v1alpha1.ClassLimits) { l.Resources = small }
	return Scenario{
		Name: "a Session asks for more than its class permits", Given: []client.Object{build.Class("opencode").Ready().Limits(limits).Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Resources(nil, large).Obj())},
				Want: Impossible(v1alpha1.ReasonInvalidForClass), Also: []Fact{says("spec.resources.limits.memory"), pods()},
			},
			{
				When: "the class permits more",
				Do: []Action{
					editClass(func(c *v1alpha1.SessionClass) { c.Spec.Limits.Resources = large }),
					judged(build.Class("opencode").Ready().With(func(c *v1alpha1.SessionClass) { c.Status.Conditions[0].ObservedGeneration = 2 }).Obj()),
				},
				Want: Starting(v1alpha1.ReasonStarting),
			},
		},
	}
}

func tooLong() Scenario {
	limits := func(l *v1alpha1.ClassLimits) {
		l.ActiveDeadlineSeconds = &v1alpha1.SecondsLimit{Max: new(int64(60))}
	}
	return Scenario{
		Name: "a Session asks for more time than its class permits", Given: []client.Object{build.Class("opencode").Ready().Limits(limits).Obj()},
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().ActiveDeadline(61).Obj())}, Want: Impossible(v1alpha1.ReasonInvalidForClass),
				Also: []Fact{says("spec.activeDeadlineSeconds is 61")},
			},
			{
				When: "it asks for less", Do: []Action{editSession(func(o *v1alpha1.Session) { o.Spec.ActiveDeadlineSeconds = new(int64(60)) })},
				Want: Starting(v1alpha1.ReasonStarting),
			},
		},
	}
}

func credentialDeletedBetweenRuns() Scenario {
	return Scenario{
		Name: "the credential is deleted between two runs", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "the credential goes, another one comes, and the node is drained",
				Do:   []Action{apply(inSandbox(build.Credential("another").Ready()).Obj()), remove(shared().Obj()), podEnds(drained)},
				Want: Retrying(v1alpha1.FailureNodeLost),
			},
			{
				When: "the time comes", Do: []Action{pass(time.Second)}, Want: Waiting(v1alpha1.ReasonCredentialNotFound),
				Also: []Fact{run(1), paidBy("shared")},
			},
			{
				When: "the credential comes back", Do: []Action{apply(shared().Obj())}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(2), paidBy("shared")},
			},
		},
	}
}

// credentialsChangedBeforePod is what a crash between ConfigMap and pod looks like from outside, without the crash.
func credentialsChangedBeforePod() Scenario {
	return Scenario{
		Name: "credentials change between the ConfigMap and the pod of a run", Given: append(everything(), quota()),
		Steps: []Step{
			{When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonPodRejected), Also: []Fact{pods()}},
			{
				When: "another credential comes that would be the first by name, and the class changes",
				Do: []Action{
					apply(inSandbox(build.Credential("another").Ready()).Obj()),
					editClass(func(c *v1alpha1.SessionClass) { c.Spec.Agent.Env = []v1alpha1.EnvVar{build.Env("NEW", "1")} }),
					judged(opencode().With(func(c *v1alpha1.SessionClass) { c.Status.Conditions[0].ObservedGeneration = 2 }).Obj()),
				},
				Want: Waiting(v1alpha1.ReasonPodRejected),
			},
			{
				When: "the quota goes", Do: []Action{remove(quota()), pass(5 * time.Minute)}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{paidBy("shared"), run(1), told("NEW")},
			},
		},
	}
}

func podRefused() Scenario {
	return Scenario{
		Name: "the namespace's quota refuses the pod", Given: append(everything(), quota()),
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Obj())}, Want: Waiting(v1alpha1.ReasonPodRejected),
				Also: []Fact{says("quota"), run(0)},
			},
			{When: "the quota goes", Do: []Action{remove(quota()), pass(5 * time.Minute)}, Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1)}},
			atWork(),
		},
	}
}
