package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
)

// firstRunSleeps is an agent that only its second run lets finish.
const firstRunSleeps = `case $HOSTNAME in *-1) echo started; exec sleep 600 ;; *) echo "Run $HOSTNAME finished" ;; esac`

func TestSuspendedSessionIsResumed(t *testing.T) {
	p := newPlay(t)
	p.session("ok", p.commandClass(firstRunSleeps))
	p.untilRunning()
	p.update(func(s *v1alpha1.SessionSpec) { s.Suspend = new(true) })
	s := p.until("Suspended", func(s *v1alpha1.Session) bool { return holds(s, v1alpha1.ConditionSuspended, metav1.ConditionTrue) })
	p.expect(s, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSuspended)
	p.expect(s, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonRequested)
	if n := p.livePods(); n != 0 {
		t.Errorf("%d live pods while suspended, want none", n)
	}
	p.update(func(s *v1alpha1.SessionSpec) { s.Suspend = new(false) })
	s = p.untilSucceeded()
	if *s.Status.Run != 2 || s.Status.Failures != nil {
		t.Errorf("run %d, failures %v; want the second run and no failure", *s.Status.Run, s.Status.Failures)
	}
}

// A pod that somebody deletes or a drain takes away is made anew, and nobody is blamed.
func TestPodThatIsTakenAwayIsMadeAnew(t *testing.T) {
	for name, take := range map[string]func(*play, string) error{
		"deleted by hand": func(p *play, pod string) error {
			return p.client.Delete(p.Context(), &corev1.Pod{ObjectMeta: p.named(pod)})
		},
		"evicted": func(p *play, pod string) error {
			eviction := &policyv1.Eviction{ObjectMeta: p.named(pod)}
			return p.clientset.PolicyV1().Evictions(p.namespace).Evict(p.Context(), eviction)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(t)
			p.session("ok", p.commandClass(firstRunSleeps))
			if err := take(p, p.untilRunning().Status.PodName); err != nil {
				t.Fatal(err)
			}
			s := p.untilSucceeded()
			if *s.Status.Run != 2 || s.Status.Failures != nil {
				t.Errorf("run %d, failures %v; want the second run and no failure counted", *s.Status.Run, s.Status.Failures)
			}
		})
	}
}

func (p *play) livePods() int {
	p.Helper()
	var pods corev1.PodList
	if err := p.client.List(p.Context(), &pods, client.InNamespace(p.namespace)); err != nil {
		p.Fatal(err)
	}
	live := 0
	for _, pod := range pods.Items {
		if pod.Status.Phase == corev1.PodPending || pod.Status.Phase == corev1.PodRunning {
			live++
		}
	}
	return live
}

// I9: deleting a Session removes everything it made, and nothing else.
func TestI9DeletionLeavesNothing(t *testing.T) {
	p := newPlay(t)
	p.create(&corev1.ConfigMap{ObjectMeta: p.named("bystander")})
	s := p.session("ok", p.commandClass("echo started; exec sleep 600"), func(s *v1alpha1.SessionSpec) { s.Workspace = &v1alpha1.Workspace{Size: quantity("1Gi")} })
	p.untilRunning()
	if err := p.client.Delete(p.Context(), s, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
		t.Fatal(err)
	}
	var left []string
	err := wait.PollUntilContextTimeout(t.Context(), 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		var err error
		left, err = p.leftovers(ctx)
		return len(left) == 0, err
	})
	if err != nil {
		t.Errorf("still there: %v (%v)", left, err)
	}
	if err := p.client.Get(t.Context(), client.ObjectKey{Namespace: p.namespace, Name: "bystander"}, &corev1.ConfigMap{}); err != nil {
		t.Errorf("an object that was not the Session's: %v", err)
	}
}

// leftovers names what a Session has made.
func (p *play) leftovers(ctx context.Context) ([]string, error) {
	var names []string
	for _, list := range []client.ObjectList{&v1alpha1.SessionList{}, &corev1.PodList{}, &corev1.PersistentVolumeClaimList{}} {
		if err := p.client.List(ctx, list, client.InNamespace(p.namespace)); err != nil {
			return nil, err
		}
		names = append(names, namesIn(list)...)
	}
	configs := &corev1.ConfigMapList{}
	if err := p.client.List(ctx, configs, client.InNamespace(p.namespace), client.HasLabels{v1alpha1.LabelSession}); err != nil {
		return nil, err
	}
	return append(names, namesIn(configs)...), nil
}

// kubectl wait is how scripts wait for Sessions.
func TestKubectlWaitReturns(t *testing.T) {
	for _, test := range []struct{ name, script, condition string }{
		{"for success", "echo fine", "Succeeded"},
		{"for the end of a success", "echo fine", "Finished"},
		{"for the end of a failure", "exit 3", "Finished"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.session("ok", p.commandClass(test.script))
			out, err := p.kubectl("wait", "session/work", "--for=condition="+test.condition, "--timeout="+patience.String())
			if err != nil {
				t.Errorf("kubectl wait: %v\n%s", err, out)
			}
		})
	}
}
