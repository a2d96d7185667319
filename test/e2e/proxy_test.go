package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/cluster"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// newProxiedPlay makes a namespace that an admin's ClusterCredential allows, whose key is in the keep.
func newProxiedPlay(t *testing.T) *play {
	t.Helper()
	t.Parallel()
	return newProxiedPlayAlone(t)
}

// newProxiedPlayAlone is for a test beside which no other may run.
func newProxiedPlayAlone(t *testing.T) *play {
	t.Helper()
	s := onStage(t)
	timed(t)
	p := &play{T: t, stage: s, namespace: cluster.Namespace(t, s.client), key: newKey(t)}
	t.Cleanup(p.searchForKey)
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: p.namespace, Namespace: v1alpha1.NamespaceKeys}, Type: v1alpha1.SecretTypeAPIKey,
		StringData: map[string]string{secretKey: p.key},
	}
	credential := &v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}, Spec: v1alpha1.ClusterCredentialSpec{
		Provider: stageName,
		APIKey:   v1alpha1.APIKey{SecretRef: v1alpha1.SecretKeyReference{Name: secret.Name, Key: secretKey}},
		Allow:    &v1alpha1.Allow{Namespaces: &v1alpha1.AllowedNamespaces{Names: []string{p.namespace}}},
	}}
	for _, o := range []client.Object{secret, credential} {
		p.create(o)
		t.Cleanup(func() { p.remove(o) })
	}
	return p
}

// newKey is a key that must be found nowhere.
func newKey(t *testing.T) string {
	t.Helper()
	key := "canary-" + rand.Text()
	keys.Store(key, t.Name())
	return key
}

func proxied(s *v1alpha1.SessionSpec) { s.ClassName = proxiedClass }

// TestI2OpenCodeWorksWithoutAKey runs the real agent, which edits, tests and pushes, while the key stays in the gateway.
func TestI2OpenCodeWorksWithoutAKey(t *testing.T) {
	p := newProxiedPlay(t)
	repository := p.newRepository()
	p.session("edit-and-test", proxied, p.onRepository(repository, "sandkeep/fix"))
	s := p.untilSucceeded()
	if s.Status.Auth != "Cluster/APIKey" {
		t.Errorf("status.auth is %q", s.Status.Auth)
	}
	p.expectPushed(s, repository, "sandkeep/fix", `subtract) echo "$(($2 - $3))" ;;`)
	p.expectPaid()
	p.expectMetered(s)
	if len(s.Status.CredentialsInUse) != 1 || s.Status.CredentialsInUse[0].Ref.Name != p.namespace || s.Status.CredentialsInUse[0].Revision == "" {
		t.Errorf("credentialsInUse is %+v, want the ClusterCredential of the test", s.Status.CredentialsInUse)
	}
	p.untilCredential("used", func(c *v1alpha1.ClusterCredential) bool { return c.Status.LastUsedTime != nil })
}

// untilCredential waits until the keeper says something of the ClusterCredential of the test.
func (p *play) untilCredential(what string, is func(*v1alpha1.ClusterCredential) bool) {
	p.Helper()
	c := &v1alpha1.ClusterCredential{}
	err := wait.PollUntilContextTimeout(p.Context(), 200*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := p.client.Get(ctx, client.ObjectKey{Name: p.namespace}, c)
		return err == nil && is(c), err
	})
	if err != nil {
		p.Errorf("The ClusterCredential should become %s: %v; its status is %+v", what, err, c.Status)
	}
}

// expectMetered compares what the gateway counted with what the provider did, to the token.
func (p *play) expectMetered(s *v1alpha1.Session) {
	p.Helper()
	if want, got := p.told(), metered(s); got != want {
		p.Errorf("status.usage is %+v, want %+v", got, want)
	}
}

// told is what the provider has told of usage.
func (p *play) told() provider.ModelStats {
	p.Helper()
	stats, err := p.scene.Stats(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	key := stats.Keys[provider.Fingerprint(p.key)]
	sum := provider.ModelStats{Requests: -key.Refused}
	for _, model := range key.Models {
		sum.Requests += model.Requests
		sum.InputTokens += model.InputTokens
		sum.OutputTokens += model.OutputTokens
	}
	return sum
}

// metered is what the status says was used.
func metered(s *v1alpha1.Session) provider.ModelStats {
	u := s.Status.Usage
	if u == nil || u.Requests == nil || u.InputTokens == nil || u.OutputTokens == nil {
		return provider.ModelStats{}
	}
	return provider.ModelStats{Requests: int(*u.Requests), InputTokens: int(*u.InputTokens), OutputTokens: int(*u.OutputTokens)}
}

// ask is a request to the provider as an agent makes it, through the sandbox's door.
const ask = `ask() { curl --silent --max-time 20 --write-out ' %{http_code}\n' "http://127.0.0.1:4141/` + stageName + `/v1/messages" ` +
	`--header 'content-type: application/json' --data '{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"[[script:ok]]"}]}'; }
`

// askUntilRefused is an agent that goes on asking, and tells of its last two answers.
const askUntilRefused = ask + `while ! ask | tee -a /tmp/answers | grep -q ' 403$'; do sleep 0.2; done; tail -n 2 /tmp/answers`

// TestI2I3HostileAgentFindsNoKey searches, as the agent, everything that an agent can reach. What it prints is in the log, in which the key is then
// looked for; the marks show that each search has looked at something.
func TestI2I3HostileAgentFindsNoKey(t *testing.T) {
	p := newProxiedPlay(t)
	search := ask + `
	export MARK=mark-environment
	echo "files: $(echo mark-file | tee /tmp/mark)"
	ask
	echo '== environments'; sh -c 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline' 2>/dev/null | tr '\0' '\n' | head -c 20000
	echo '== files'; find / -xdev -type f -readable -size -64k -not -path '/usr/*' -not -path '/proc/*' -not -path '/sys/*' -not -path '/var/*' -not -path '/sandkeep/gateway/*' -exec cat {} + 2>/dev/null | head -c 200000 | tr -d '\0'
	echo '== memory'; for p in /proc/[0-9]*; do head -c 1 $p/mem >/dev/null 2>&1 && echo "readable $p"; cat $p/maps >/dev/null 2>&1 || echo "closed ${p#/proc/}"; done
	echo '== other doors'
	for path in / /metrics /healthz /other/v1/models /` + stageName + `/v1/files /` + stageName + `/v1/organizations /` + stageName + `/../v1/messages /` + stageName + `/v1%2fmessages; do
		echo "$path $(curl --path-as-is --silent --max-time 5 --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:4141$path")"
	done
	token=$(cat /sandkeep/gateway/token)
	echo '== the gateway itself'
	gateway=https://sandkeep-gateway.sandkeep-system.svc
	direct() {
		echo "gateway $1 $(curl --silent --insecure --max-time 5 --output /tmp/answer --write-out '%{http_code}' --header "Authorization: Bearer $token" --data "${2:-}" "$gateway$1")"
		cat /tmp/answer
	}
	direct /v1alpha1/session/key '{"provider":"` + stageName + `"}'
	direct /v1alpha1/session/key '{"provider":"anthropic"}'
	direct /v1alpha1/providers/anthropic/v1/messages '{}'
	direct /v1alpha1/providers/` + stageName + `/v1/files
	direct /metrics
	echo "api $(curl --silent --insecure --max-time 5 --output /dev/null --write-out '%{http_code}' --header "Authorization: Bearer $token" https://kubernetes.default.svc/api/v1/namespaces/sandkeep-keys/secrets)"
	`
	p.session("ok", p.commandClass(search, paid(v1alpha1.DeliveryProxy)))
	s := p.untilSucceeded()
	log := p.fullLog(s.Status.PodName)
	for _, want := range []string{
		"MARK=mark-environment", "mark-file", " 200\n", "closed 1", "/ 404", "/other/v1/models 404", "/v1/files 404", "/v1/organizations 404", "/v1%2fmessages 404", "api 401",
		"gateway /v1alpha1/session/key 403", "gateway /v1alpha1/providers/anthropic/v1/messages 403",
		"gateway /v1alpha1/providers/" + stageName + "/v1/files 404", "gateway /metrics 404",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q, so that search has not looked; of doors it says\n%s", want, log[max(0, strings.LastIndex(log, "== other doors")):])
		}
	}
	p.expectNoKey(log, "what a hostile agent sees")
}

// searchByShape looks for keys by their shape wherever the agent can read, and says how much that was. The marks show that it finds what is there.
const searchByShape = `MARK=canary-in-an-environment sleep 30 & echo canary-in-a-file > /tmp/mark
until grep -q canary /proc/$!/environ; do sleep 0.1; done
{ cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline
	find / /tmp "$HOME" /workspace /sandkeep -xdev -type f -readable -size -256k -not -path '/usr/*' -not -path '/proc/*' -not -path '/sys/*' -not -path /tmp/all -exec cat {} + ; } 2>/dev/null > /tmp/all
echo "searched $(wc -c < /tmp/all) bytes and found $(grep -aoE '(canary|sk)-[A-Za-z0-9_-]{8,}' /tmp/all | sort -u | tr '\n' ' ')"
`

// TestI2OpenCodeFindsNoKey has the real agent search its sandbox, as somebody would who has talked it into that.
func TestI2OpenCodeFindsNoKey(t *testing.T) {
	p := newProxiedPlay(t)
	p.session(fmt.Sprintf("exec cmd=%q", "echo "+base64.StdEncoding.EncodeToString([]byte(searchByShape))+" | base64 -d | sh"), proxied)
	s := p.untilSucceeded()
	summary := ""
	if s.Status.Result != nil {
		summary = s.Status.Result.Summary
	}
	for _, want := range []string{"searched ", "canary-in-an-environment", "canary-in-a-file"} {
		if !strings.Contains(summary, want) {
			t.Errorf("%q is not in what the agent found, so it has not searched: %s", want, summary)
		}
	}
	p.expectNoKey(summary+p.fullLog(s.Status.PodName), "what OpenCode found")
}

// fullLog is all that a sandbox has printed.
func (p *play) fullLog(pod string) string {
	p.Helper()
	text, err := p.clientset.CoreV1().Pods(p.namespace).GetLogs(pod, &corev1.PodLogOptions{Container: "agent"}).DoRaw(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// TestKeyIsRotatedAndTakenAwayWhileAnAgentRuns changes the Secret, and then the permission, under an agent that goes on asking.
func TestKeyIsRotatedAndTakenAwayWhileAnAgentRuns(t *testing.T) {
	p := newProxiedPlay(t)
	p.session("ok", p.commandClass(askUntilRefused, paid(v1alpha1.DeliveryProxy)))
	p.untilRunning()
	p.untilSeen("the first key")
	first := p.key
	p.key = newKey(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: p.namespace, Namespace: v1alpha1.NamespaceKeys}}
	began := time.Now()
	p.patch(secret, fmt.Sprintf(`{"stringData":{%q:%q}}`, secretKey, p.key))
	p.untilSeen("the new key")
	t.Logf("the new key was on a request %s after the Secret had changed", time.Since(began).Round(time.Millisecond))
	began = time.Now()
	p.patch(&v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}, `{"spec":{"allow":null}}`)
	s := p.untilRefused(began, "the permission was taken away", "does not allow namespace")
	if value := s.Status.Run; value == nil || *value != 1 {
		t.Errorf("the Session is in run %v, want no restart", value)
	}
	p.expectRevision(s, secret)
	p.key, first = first, p.key // both are looked for at the end
	p.searchForKey()
	p.key = first
}

// TestKeyIsRotatedUnderOpenCode changes the Secret while the real agent is in the middle of a turn.
func TestKeyIsRotatedUnderOpenCode(t *testing.T) {
	p := newProxiedPlay(t)
	const pause = "until [ -e /tmp/go ]; do sleep 0.1; done; echo went on"
	p.session(fmt.Sprintf("exec cmd=%q", pause), proxied)
	s := p.untilRunning()
	p.untilSeen("the first key")
	first := p.key
	p.key = newKey(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: p.namespace, Namespace: v1alpha1.NamespaceKeys}}
	p.patch(secret, fmt.Sprintf(`{"stringData":{%q:%q}}`, secretKey, p.key))
	p.inSandbox(s.Status.PodName, "touch /tmp/go")
	s = p.untilSucceeded()
	p.untilSeen("the new key")
	if value := s.Status.Run; value == nil || *value != 1 {
		t.Errorf("the Session is in run %v, want no restart", value)
	}
	if s.Status.Result == nil || !strings.Contains(s.Status.Result.Summary, "went on") {
		t.Errorf("the turn was aborted: %+v", s.Status.Result)
	}
	p.expectRevision(s, secret)
	p.key, first = first, p.key // both are looked for at the end
	p.searchForKey()
	p.key = first
}

// expectRevision checks that the status names the key that is in a Secret now.
func (p *play) expectRevision(s *v1alpha1.Session, secret *corev1.Secret) {
	p.Helper()
	if err := p.client.Get(p.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		p.Fatal(err)
	}
	if inUse := s.Status.CredentialsInUse; len(inUse) != 1 || inUse[0].Revision != secret.ResourceVersion {
		p.Errorf("credentialsInUse is %+v, want the revision of the new key", inUse)
	}
}

// untilRefused waits for the end of an agent that goes on until it is refused, and tells how long that took. A minute is the most that it may.
func (p *play) untilRefused(began time.Time, after, words string) *v1alpha1.Session {
	p.Helper()
	s := p.untilFinished()
	took := time.Since(began).Round(time.Millisecond)
	p.Logf("the agent was refused and had ended %s after %s", took, after)
	if took > time.Minute {
		p.Errorf("what is taken away must not be used for a minute")
	}
	if log := p.fullLog(s.Status.PodName); !strings.Contains(log, words) {
		p.Errorf("the agent was not told why it was refused:\n%s", log)
	}
	return s
}

// TestSecretIsDeletedWhileAnAgentRuns: what follows is measured, since that is all that an admin can do at once.
func TestSecretIsDeletedWhileAnAgentRuns(t *testing.T) {
	p := newProxiedPlay(t)
	p.session("ok", p.commandClass(askUntilRefused, paid(v1alpha1.DeliveryProxy)))
	p.untilRunning()
	p.untilSeen("the key")
	began := time.Now()
	p.remove(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: p.namespace, Namespace: v1alpha1.NamespaceKeys}})
	p.untilRefused(began, "the Secret was deleted", "does not exist")
}

func (p *play) patch(o client.Object, patch string) {
	p.Helper()
	if err := p.client.Patch(p.Context(), o, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		p.Fatal(err)
	}
}

// untilSeen waits until the provider has seen the key of the test.
func (p *play) untilSeen(what string) {
	p.Helper()
	err := wait.PollUntilContextTimeout(p.Context(), 100*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		stats, err := p.scene.Stats(ctx)
		_, seen := stats.Keys[provider.Fingerprint(p.key)]
		return seen, err
	})
	if err != nil {
		p.Fatalf("The provider should see %s: %v", what, err)
	}
}

// TestNamespaceThatIsNotAllowedWaits: the permission is the admin's, and the Session says so until it comes (I4).
func TestI4NamespaceThatIsNotAllowedWaits(t *testing.T) {
	p := newProxiedPlay(t)
	credential := &v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}
	p.patch(credential, `{"spec":{"allow":{"namespaces":{"names":["somebody-else"]}}}}`)
	p.session("ok", proxied, func(s *v1alpha1.SessionSpec) {
		s.Credentials = []v1alpha1.SessionCredential{{Provider: stageName, Ref: v1alpha1.CredentialReference{
			Kind: v1alpha1.CredentialKindClusterCredential, Name: p.namespace,
		}}}
	})
	s := p.untilWaiting(v1alpha1.ReasonCredentialNotAllowed)
	p.expectMessage(s, "does not allow namespace", "spec.allow.namespaces")
	p.patch(credential, fmt.Sprintf(`{"spec":{"allow":{"namespaces":{"names":[%q]}}}}`, p.namespace))
	p.untilSucceeded()
}

// crowd is an agent that asks by 25 clients at the same time for 25 seconds, and says how often it got which status.
const crowd = `client() { while [ $SECONDS -lt 25 ]; do ask | grep -o '[0-9]*$'; sleep 1; done; }
	for n in $(seq 25); do client & done | sort | uniq -c | sed 's/^ */count /'
`

// TestLimitsHoldForEverybodyTogether has a hundred clients in four sandboxes ask two replicas of the gateway for more than the credential permits.
func TestLimitsHoldForEverybodyTogether(t *testing.T) {
	const requests, concurrent = 40, 3
	p := newProxiedPlay(t)
	p.patch(&v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}},
		fmt.Sprintf(`{"spec":{"limits":{"requestsPerMinute":%d,"concurrentRequests":%d}}}`, requests, concurrent))
	began := time.Now()
	first := p.session("ok", p.commandClass(strings.Replace(ask, "[[script:ok]]", "[[script:slow seconds=1]]", 1)+crowd, paid(v1alpha1.DeliveryProxy)))
	names := []string{first.Name, "more-1", "more-2", "more-3"}
	for _, name := range names[1:] {
		p.create(&v1alpha1.Session{ObjectMeta: p.named(name), Spec: first.Spec})
	}
	var log strings.Builder
	for _, name := range names {
		log.WriteString(p.fullLog(p.untilNamed(name, "Finished", finished).Status.PodName))
	}
	stats, err := p.scene.Stats(p.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := stats.Keys[provider.Fingerprint(p.key)]
	served := 0
	for _, model := range seen.Models {
		served += model.Requests
	}
	permitted := requests * (1 + int(time.Since(began)/time.Minute))
	t.Logf("the provider saw %d requests, of %d permitted, %d of them at the same time, of %d", served, permitted, seen.MostAtOnce, concurrent)
	if seen.MostAtOnce > concurrent || served > permitted || served < requests/2 {
		t.Errorf("the provider saw %d requests, %d of them at the same time; want %d to %d, and at most %d", served, seen.MostAtOnce, requests/2, permitted, concurrent)
	}
	if !strings.Contains(log.String(), " 429\n") {
		t.Errorf("nobody was refused:\n%s", log.String())
	}
	p.untilCredential("limited", func(c *v1alpha1.ClusterCredential) bool {
		return meta.IsStatusConditionFalse(c.Status.Conditions, v1alpha1.ConditionWithinLimits)
	})
}

// TestI4OwnerLosesAKeyWhileAnAgentRuns: a Session runs for somebody who has two rights, and loses one of them.
func TestI4OwnerLosesAKeyWhileAnAgentRuns(t *testing.T) {
	p := newProxiedPlay(t)
	owner := &v1alpha1.Owner{Username: "dev of " + p.namespace}
	p.session("ok", p.commandClass(askUntilRefused, paid(v1alpha1.DeliveryProxy)),
		func(s *v1alpha1.SessionSpec) { s.Owner = owner })
	waiting := p.untilWaiting(v1alpha1.ReasonClassNotAllowed)
	p.expectMessage(waiting, "dev of "+p.namespace)
	p.doAsTold(waiting)
	p.expectMessage(p.untilWaiting(v1alpha1.ReasonCredentialNotAllowed), "dev of "+p.namespace)
	binding := p.permit(owner, "clustercredentials")
	p.untilRunning()
	p.untilSeen("the key")
	p.remove(binding)
	began := time.Now()
	p.untilRefused(began, "the binding was deleted", "may not use ClusterCredential")
}

// gives finds what a command makes that permits something.
var gives = regexp.MustCompile(`create clusterrolebinding (\S+) .*--clusterrole=(\S+)$`)

// doAsTold runs the command that a message prints, as an admin does who copies it.
func (p *play) doAsTold(s *v1alpha1.Session) {
	p.Helper()
	message := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady).Message
	parts := strings.Split(message, "`")
	if len(parts) != 3 {
		p.Fatalf("the message %q has no command, or several", message)
	}
	made := gives.FindStringSubmatch(parts[1])
	if made == nil {
		p.Fatalf("the command permits nothing: %s", parts[1])
	}
	p.Cleanup(func() {
		p.remove(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: made[1]}})
		p.remove(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: made[2]}})
	})
	kubectl := p.kubectlCommand(p.Context(), p.namespace)
	script := fmt.Sprintf("kubectl() { %s \"$@\"; }\n%s", strings.Join(kubectl.Args, " "), parts[1])
	if out, err := exec.CommandContext(p.Context(), "bash", "-c", script).CombinedOutput(); err != nil {
		p.Fatalf("%s: %v\n%s", parts[1], err, out)
	}
}

// permit lets somebody use what has the name of the play.
func (p *play) permit(owner *v1alpha1.Owner, resource string) client.Object {
	p.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: p.namespace + "-" + resource}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, ResourceNames: []string{p.namespace}, Verbs: []string{"use"},
	}}}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: role.ObjectMeta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: owner.Username}},
	}
	for _, o := range []client.Object{role, binding} {
		p.create(o)
		p.Cleanup(func() { p.remove(o) })
	}
	return binding
}

// TestProxiedOpenCodeFailures: the gateway knows what failed, also where the agent swallows it.
func TestProxiedOpenCodeFailures(t *testing.T) {
	for _, test := range []struct{ name, script, class, credential string }{
		{"no credit", "credit", v1alpha1.FailureProviderQuotaExhausted, v1alpha1.ReasonQuotaExhausted},
		{"empty answer", "empty", v1alpha1.FailureAgentSilent, v1alpha1.ReasonAccepted},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newProxiedPlay(t)
			p.session(test.script, proxied)
			p.untilFailed(test.class)
			p.untilCredential(test.credential, func(c *v1alpha1.ClusterCredential) bool {
				ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady)
				return ready != nil && ready.Reason == test.credential
			})
		})
	}
}
