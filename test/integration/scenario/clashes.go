package scenario

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
)

// clashes are objects of others that have the names of ours.
func clashes() []Scenario {
	return []Scenario{
		nameTaken("pod", foreignPod()), nameTaken("ConfigMap", foreignConfig()), nameTaken("PersistentVolumeClaim", foreignClaim()),
		namesakeStillRunning(), namesakeEnded(),
	}
}

func foreign(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: build.Namespace}
}

func foreignPod() client.Object {
	return &corev1.Pod{ObjectMeta: foreign("fix-login-sandbox-1"), Spec: corev1.PodSpec{
		SchedulerName:   "nobody",
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1", SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}}},
	}}
}

func foreignConfig() client.Object {
	return &corev1.ConfigMap{ObjectMeta: foreign("fix-login-sandbox-1"), Data: map[string]string{"theirs": "true"}}
}

func foreignClaim() client.Object {
	return &corev1.PersistentVolumeClaim{ObjectMeta: foreign("fix-login-workspace"), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
	}}
}

func nameTaken(kind string, taker client.Object) Scenario {
	return Scenario{
		Name: "a " + kind + " of somebody else has our name", Given: append(everything(), taker),
		Steps: []Step{
			{
				When: "the Session is applied", Do: []Action{apply(session().Workspace("1Gi", "").Obj())}, Want: Waiting(v1alpha1.ReasonNameConflict),
				Also: []Fact{says("exists and is not of this Session"), run(0), pods()},
			},
			{
				When: "its owner removes it", Do: []Action{remove(taker), pass(5 * time.Minute)}, Want: Starting(v1alpha1.ReasonStarting),
				Also: []Fact{run(1), volume(1)},
			},
			atWork(),
		},
	}
}

func namesakeStillRunning() Scenario {
	return Scenario{
		Name: "a Session is replaced while its pod runs", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{
				When: "it is deleted and applied anew", Do: []Action{remove(session().Obj()), apply(session().Prompt("Another prompt").Obj())},
				Want: Waiting(v1alpha1.ReasonTerminating), Also: []Fact{run(0), pods("fix-login-sandbox-1 Running"), says("earlier Session of this name")},
			},
			{
				When: "the old agent stops", Do: []Action{agentReports(failing(contract.Stopped)), pass(5 * time.Minute)},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), pods("fix-login-sandbox-1 Pending"), used(0)},
			},
			atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
		},
	}
}

func namesakeEnded() Scenario {
	return Scenario{
		Name: "a Session is replaced after its end", Given: everything(),
		Steps: []Step{
			applied(session()), atWork(),
			{When: "the agent reports success", Do: []Action{agentReports(success())}, Want: Succeeded()},
			{
				When: "it is deleted and applied anew",
				Do:   []Action{remove(session().Obj()), apply(session().Prompt("Another prompt").Obj()), pass(5 * time.Minute)},
				Want: Starting(v1alpha1.ReasonStarting), Also: []Fact{run(1), pods("fix-login-sandbox-1 Pending")},
			},
			atWork(),
		},
	}
}
