package e2e

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// commandClass makes a class of this test's own, whose agent is a shell script.
func (p *play) commandClass(script string, changes ...func(*v1alpha1.SessionClassSpec)) change {
	p.Helper()
	class := &v1alpha1.SessionClass{Spec: v1alpha1.SessionClassSpec{
		Agent: v1alpha1.Agent{
			Name: "script", Protocol: v1alpha1.AgentProtocolCommand, Command: []string{"bash", "-c"}, Args: []string{script},
			Output: v1alpha1.AgentOutputText,
		},
		PodTemplate: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "agent", Image: p.images["opencode"], ImagePullPolicy: corev1.PullIfNotPresent,
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU: resource.MustParse("20m"), corev1.ResourceMemory: resource.MustParse("32Mi"),
			}},
		}}}},
	}}
	class.Name = p.namespace
	for _, c := range changes {
		c(&class.Spec)
	}
	p.create(class)
	p.Cleanup(func() { p.remove(class) })
	return func(s *v1alpha1.SessionSpec) { s.ClassName, s.Model = class.Name, "" }
}

// paid makes the class need the key of the test.
func paid(delivery v1alpha1.Delivery) func(*v1alpha1.SessionClassSpec) {
	return func(c *v1alpha1.SessionClassSpec) {
		c.Credentials = []v1alpha1.ClassCredential{{Provider: stageName, Requirement: v1alpha1.RequirementRequired, Delivery: delivery}}
	}
}

func output(format v1alpha1.AgentOutput) func(*v1alpha1.SessionClassSpec) {
	return func(c *v1alpha1.SessionClassSpec) { c.Agent.Output = format }
}

func image(reference string) func(*v1alpha1.SessionClassSpec) {
	return func(c *v1alpha1.SessionClassSpec) { c.PodTemplate.Spec.Containers[0].Image = reference }
}

func memory(limit string) func(*v1alpha1.SessionClassSpec) {
	return func(c *v1alpha1.SessionClassSpec) {
		c.PodTemplate.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(limit)}
	}
}

// TestI8CommandFailuresKeepTheirCause has one case for each way in which an agent itself fails.
func TestI8CommandFailuresKeepTheirCause(t *testing.T) {
	for _, test := range []struct {
		name, script, class, message string
		changes                      []func(*v1alpha1.SessionClassSpec)
	}{
		{"agent prints nothing", "cat >/dev/null", v1alpha1.FailureAgentSilent, "without an answer", nil},
		{"agent does nothing in its own format", `echo '{"type":"step_start"}'`, v1alpha1.FailureAgentSilent, "without an answer",
			[]func(*v1alpha1.SessionClassSpec){output(v1alpha1.AgentOutputOpenCodeJSON)}},
		{"agent echoes the prompt", "cat", v1alpha1.FailureAgentSilent, "without an answer", nil},
		{"agent writes invalid JSON", `echo '{"type": "text", "part": {'`, v1alpha1.FailureAgentSilent, "",
			[]func(*v1alpha1.SessionClassSpec){output(v1alpha1.AgentOutputOpenCodeJSON)}},
		{"agent crashes", "echo 'the disk is on fire' >&2; exit 7", v1alpha1.FailureAgentCrashed, "the disk is on fire", nil},
		{"agent kills itself", "kill -9 $$", v1alpha1.FailureAgentCrashed, "signal 9", nil},
		{"agent needs more memory than there is", "head -c 400M /dev/zero | tail", v1alpha1.FailureOutOfMemory, "memory",
			[]func(*v1alpha1.SessionClassSpec){memory("96Mi")}},
		{"agent is missing", "", v1alpha1.FailureAgentCrashed, "no-such-agent",
			[]func(*v1alpha1.SessionClassSpec){func(c *v1alpha1.SessionClassSpec) { c.Agent.Command = []string{"no-such-agent"} }}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlay(t)
			p.session("ok", p.commandClass(test.script, test.changes...))
			p.expectMessage(p.untilFailed(test.class), test.message)
		})
	}
}

func TestCommandSucceedsWithTenMegabytesOnOneLine(t *testing.T) {
	p := newPlay(t)
	p.session("ok", p.commandClass("head -c 10000000 /dev/zero | tr '\\0' x; echo; echo The end"))
	s := p.untilSucceeded()
	if s.Status.Result == nil || len(s.Status.Result.Summary) > 4096 {
		t.Errorf("status.result is %+v, want a summary of at most 4096 bytes", s.Status.Result)
	}
}

func TestCommandThatCrashesIsRunAgain(t *testing.T) {
	p := newPlay(t)
	script := `case $HOSTNAME in *-1) echo "first time unlucky" >&2; exit 1 ;; *) echo "Done the second time" ;; esac`
	p.session("ok", p.commandClass(script), func(s *v1alpha1.SessionSpec) { s.BackoffLimit = new(int32(1)) })
	retrying := p.untilWaiting(v1alpha1.FailureAgentCrashed)
	p.expect(retrying, v1alpha1.ConditionSucceeded, metav1.ConditionUnknown, v1alpha1.ReasonNotFinished)
	p.expect(retrying, v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRetrying)
	p.expectMessage(retrying, "first time unlucky", "the next run starts at")
	s := p.untilSucceeded()
	if *s.Status.Run != 2 || *s.Status.Failures != 1 || s.Status.Failure != nil {
		t.Errorf("run %d, failures %d, failure %+v; want the second run, one failure, and none that stays", *s.Status.Run, *s.Status.Failures, s.Status.Failure)
	}
}

// The agent's own process is killed, and sandboxd, which is not, says what happened.
func TestOpenCodeIsKilled(t *testing.T) {
	p := newPlay(t)
	p.session("slow seconds=600")
	s := p.untilRunning()
	p.inSandbox(s.Status.PodName, `for p in /proc/[0-9]*; do if [ "$(cat $p/comm)" = opencode ]; then kill -9 ${p#/proc/}; fi; done`)
	p.expectMessage(p.untilFailed(v1alpha1.FailureAgentCrashed), "killed by signal 9")
}

func TestAgentThatHangsIsEndedAtTheDeadline(t *testing.T) {
	p := newPlay(t)
	p.session("hang", func(s *v1alpha1.SessionSpec) { s.ActiveDeadlineSeconds = new(int64(20)) })
	p.expectMessage(p.untilFailed(v1alpha1.FailureDeadlineExceeded), "activeDeadlineSeconds")
}

// I3: a sandbox has no token, and without one the API server tells it nothing.
func TestI3SandboxHasNoRightsInTheCluster(t *testing.T) {
	p := newPlay(t)
	script := `
		ls -R /var/run/secrets 2>/dev/null
		url=https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/` + p.namespace + `/secrets
		curl --silent --insecure --output /dev/null --write-out '%{http_code}\n' "$url"
		id -u
		touch /usr/x 2>/dev/null && echo writable
		grep CapEff /proc/self/status`
	p.session("ok", p.commandClass(script))
	s := p.untilSucceeded()
	want := "403\n10001\nCapEff:\t0000000000000000"
	if got := strings.TrimSpace(s.Status.Result.Summary); got != want {
		t.Errorf("the sandbox says %q, want no token, no answer, and an ordinary user without capabilities: %q", got, want)
	}
}

// The key reaches the agent, which prints it in every form. searchForKey looks for it afterwards.
func TestI2KeyIsTakenOutOfWhatTheAgentSays(t *testing.T) {
	for delivery, where := range map[v1alpha1.Delivery]string{
		v1alpha1.DeliveryEnv:  `"$ANTHROPIC_API_KEY"`,
		v1alpha1.DeliveryFile: `"$(cat /sandkeep/credentials/` + stageName + `/api-key)"`,
	} {
		t.Run(string(delivery), func(t *testing.T) {
			p := newPlay(t)
			script := `key=` + where + `; env; echo $key; echo $key >&2; printf %s $key | base64 -w0; echo; echo fingerprint $(printf %s $key | sha256sum)`
			p.session("ok", p.commandClass(script, paid(delivery)))
			s := p.untilSucceeded()
			if !strings.Contains(s.Status.Result.Summary, "fingerprint "+provider.Fingerprint(p.key)) {
				t.Errorf("the agent has not got the key: it says %q", s.Status.Result.Summary)
			}
		})
	}
}

// A real agent is talked into it by its model.
func TestI2OpenCodePrintsItsKey(t *testing.T) {
	p := newPlay(t)
	p.session(`exec cmd="env; cat /proc/*/environ; echo fingerprint $(printf %s $ANTHROPIC_API_KEY | sha256sum)"`)
	s := p.untilSucceeded()
	if !strings.Contains(s.Status.Result.Summary, "fingerprint "+provider.Fingerprint(p.key)) {
		t.Errorf("the agent has not got the key: it says %q", s.Status.Result.Summary)
	}
}
