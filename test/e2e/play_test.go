package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/sandbox"
	"github.com/sandkeep/sandkeep/test/cluster"
)

// patience bounds every wait. A sandbox starts in seconds, but the machine may be busy.
const patience = 3 * time.Minute

// secretName and secretKey say where the key of a play is.
const (
	secretName = "provider"
	secretKey  = "api-key"
)

// play is one test: a namespace that enforces the Restricted Pod Security Standard, and a key of its own.
type play struct {
	*testing.T
	*stage
	namespace string
	key       string
}

// newPlay makes a namespace with a Secret and a Credential. At the end it searches all that is there for the key.
func newPlay(t *testing.T) *play {
	t.Helper()
	p := newPlayWithoutSecret(t)
	p.createSecret(secretKey)
	return p
}

func newPlayWithoutSecret(t *testing.T) *play {
	t.Helper()
	t.Parallel()
	s := onStage(t)
	timed(t)
	p := &play{T: t, stage: s, namespace: cluster.Namespace(t, s.client), key: "canary-" + rand.Text()}
	keys.Store(p.key, t.Name())
	t.Cleanup(p.searchForKey)
	p.create(&v1alpha1.Credential{ObjectMeta: p.named("own"), Spec: v1alpha1.CredentialSpec{
		Provider: stageName, Sharing: v1alpha1.SharingNamespace, Deliveries: []v1alpha1.Delivery{v1alpha1.DeliveryEnv, v1alpha1.DeliveryFile},
		APIKey: v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: secretName, Key: secretKey}},
	}})
	return p
}

func (p *play) createSecret(entry string) {
	p.Helper()
	p.create(&corev1.Secret{ObjectMeta: p.named(secretName), StringData: map[string]string{entry: p.key}})
}

func (p *play) named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Namespace: p.namespace}
}

func (p *play) create(o client.Object) {
	p.Helper()
	if err := p.client.Create(p.Context(), o); err != nil {
		p.Fatalf("Create %T %s: %v", o, o.GetName(), err)
	}
}

// change alters a Session before it is made.
type change func(*v1alpha1.SessionSpec)

// session makes a Session with real OpenCode, which does what the script says that the prompt names. It gets no second run.
func (p *play) session(script string, changes ...change) *v1alpha1.Session {
	p.Helper()
	s := &v1alpha1.Session{ObjectMeta: p.named("work"), Spec: v1alpha1.SessionSpec{
		ClassName: stageName, Mode: v1alpha1.SessionModeTask, Model: "anthropic/claude-sonnet-4-5", BackoffLimit: new(int32(0)),
		Prompt: fmt.Sprintf("Do as you are told. [[script:%s]]", script),
	}}
	for _, c := range changes {
		c(&s.Spec)
	}
	p.create(s)
	return s
}

// until waits for the Session of the play to be as it should.
func (p *play) until(what string, is func(*v1alpha1.Session) bool) *v1alpha1.Session {
	p.Helper()
	return p.untilNamed("work", what, is)
}

func (p *play) untilNamed(name, what string, is func(*v1alpha1.Session) bool) *v1alpha1.Session {
	p.Helper()
	s := &v1alpha1.Session{}
	err := wait.PollUntilContextTimeout(p.Context(), 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: name}, s)
		return err == nil && is(s), err
	})
	if err != nil {
		p.Fatalf("The Session should become %s: %v\n%s", what, err, p.picture(s))
	}
	return s
}

// picture is what a person would look at.
func (p *play) picture(s *v1alpha1.Session) string {
	var b strings.Builder
	for _, c := range s.Status.Conditions {
		fmt.Fprintf(&b, "%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	if s.Status.PodName != "" {
		fmt.Fprintf(&b, "log of %s:\n%s\n", s.Status.PodName, p.log(s.Status.PodName))
	}
	return b.String()
}

// log is the end of what a sandbox has printed.
func (p *play) log(pod string) string {
	text, err := p.clientset.CoreV1().Pods(p.namespace).GetLogs(pod, &corev1.PodLogOptions{
		Container: sandbox.AgentContainer, TailLines: new(int64(50)), LimitBytes: new(int64(64 << 10)),
	}).DoRaw(context.WithoutCancel(p.Context()))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func finished(s *v1alpha1.Session) bool {
	return holds(s, v1alpha1.ConditionFinished, metav1.ConditionTrue)
}

func (p *play) untilFinished() *v1alpha1.Session {
	p.Helper()
	return p.until("Finished", finished)
}

func (p *play) untilSucceeded() *v1alpha1.Session {
	p.Helper()
	s := p.untilFinished()
	if !holds(s, v1alpha1.ConditionSucceeded, metav1.ConditionTrue) {
		p.Fatalf("The Session should have succeeded\n%s", p.picture(s))
	}
	return s
}

// untilFailed waits for a final failure of a class and checks the conditions that go with it.
func (p *play) untilFailed(class string) *v1alpha1.Session {
	p.Helper()
	s := p.untilFinished()
	p.expect(s, v1alpha1.ConditionReady, metav1.ConditionFalse, class)
	p.expect(s, v1alpha1.ConditionSucceeded, metav1.ConditionFalse, class)
	p.expect(s, v1alpha1.ConditionFinished, metav1.ConditionTrue, class)
	p.expect(s, v1alpha1.ConditionStalled, metav1.ConditionTrue, class)
	if s.Status.Failure == nil || s.Status.Failure.Class != class || s.Status.Failure.Message == "" {
		p.Errorf("status.failure is %+v, want class %s and a message", s.Status.Failure, class)
	}
	return s
}

// untilWaiting waits until Ready is False for a reason.
func (p *play) untilWaiting(reason string) *v1alpha1.Session {
	p.Helper()
	return p.until("not Ready because of "+reason, func(s *v1alpha1.Session) bool {
		ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == reason
	})
}

// untilSays waits until Ready is False for a reason and says something: the same reason also tells of a credential that was only just made.
func (p *play) untilSays(reason, part string) *v1alpha1.Session {
	p.Helper()
	return p.until(fmt.Sprintf("not Ready because of %s: %s", reason, part), func(s *v1alpha1.Session) bool {
		ready := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == reason && strings.Contains(ready.Message, part)
	})
}

// untilRunning waits until the agent is at work.
func (p *play) untilRunning() *v1alpha1.Session {
	p.Helper()
	return p.until("Running", func(s *v1alpha1.Session) bool { return holds(s, v1alpha1.ConditionSandboxReady, metav1.ConditionTrue) })
}

func holds(s *v1alpha1.Session, kind string, status metav1.ConditionStatus) bool {
	return meta.IsStatusConditionPresentAndEqual(s.Status.Conditions, kind, status)
}

// expect checks one condition and that it speaks of the present spec.
func (p *play) expect(s *v1alpha1.Session, kind string, status metav1.ConditionStatus, reason string) {
	p.Helper()
	c := meta.FindStatusCondition(s.Status.Conditions, kind)
	if c == nil || c.Status != status || c.Reason != reason || c.ObservedGeneration != s.Generation {
		p.Errorf("condition %s is %+v, want %s %s of generation %d\n%s", kind, c, status, reason, s.Generation, p.picture(s))
	}
}

// expectMessage checks that Ready's message has every one of these parts.
func (p *play) expectMessage(s *v1alpha1.Session, parts ...string) {
	p.Helper()
	message := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady).Message
	for _, part := range parts {
		if !strings.Contains(message, part) {
			p.Errorf("the message %q lacks %q", message, part)
		}
	}
}

// update changes the spec of the Session.
func (p *play) update(c change) {
	p.Helper()
	s := &v1alpha1.Session{ObjectMeta: p.named("work")}
	if err := p.client.Get(p.Context(), client.ObjectKeyFromObject(s), s); err != nil {
		p.Fatal(err)
	}
	before := client.MergeFrom(s.DeepCopy())
	c(&s.Spec)
	if err := p.client.Patch(p.Context(), s, before); err != nil {
		p.Fatalf("Change the Session: %v", err)
	}
}

// kubectl runs the program that people use.
func (p *play) kubectl(args ...string) (string, error) {
	out, err := p.kubectlCommand(p.Context(), p.namespace, args...).CombinedOutput()
	return string(out), err
}

func (s *stage) kubectlCommand(ctx context.Context, namespace string, args ...string) *exec.Cmd {
	args = append([]string{"--namespace=" + namespace}, args...)
	if s.source.Existing {
		return exec.CommandContext(ctx, "kubectl", args...)
	}
	kubeconfig := s.source.Kubeconfig()
	program := filepath.Join(filepath.Dir(kubeconfig), "bin", "kubectl")
	return exec.CommandContext(ctx, program, append([]string{"--kubeconfig=" + kubeconfig}, args...)...)
}

// inSandbox runs a shell command beside the agent.
func (p *play) inSandbox(pod, script string) string {
	p.Helper()
	out, err := p.kubectl("exec", pod, "--container="+sandbox.AgentContainer, "--", "bash", "-c", script)
	if err != nil {
		p.Fatalf("In the sandbox: %s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(out)
}
