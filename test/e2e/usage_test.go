package e2e

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// manyStreams is an agent that reads one stream after the other, every second one up to its middle only, three at a time, until it is refused. It
// prints status and curl's exit code of each, those of one after the other on a line: 28 where it had had enough.
const manyStreams = `
	stream() { # for how long at most, how long the answer takes
		curl --silent --no-buffer --max-time "$1" --output /dev/null --write-out ' %{http_code}/%{exitcode}' "http://127.0.0.1:4141/` + stageName + `/v1/messages" \
			--header 'content-type: application/json' --data '{"model":"claude-sonnet-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user",
			"content":"[[script:slow seconds='"$2"' input=901 output=83]]"}]}'
	}
	worker() {
		streams=
		while :; do
			streams="$streams whole$(stream 30 2) cut$(stream 1 4)"
			case $streams in *403*) break ;; esac
		done
		echo "streams:$streams"
	}
	worker & worker & worker & wait`

// TestUsageIsExactWithCutStreamsAndARestartOfTheGateway restarts the gateway under an agent that reads streams, and cuts half of them: none is
// refused by that. No other test runs beside it.
func TestUsageIsExactWithCutStreamsAndARestartOfTheGateway(t *testing.T) {
	p := newProxiedPlayAlone(t)
	p.session("ok", p.commandClass(manyStreams, paid(v1alpha1.DeliveryProxy)))
	p.untilRunning()
	p.untilTold("a few streams before the restart", func(s provider.ModelStats) bool { return s.Requests >= 6 })
	began := p.told().Requests
	p.restartGateway()
	during := p.told().Requests
	p.untilTold("a few streams after the restart", func(s provider.ModelStats) bool { return s.Requests >= during+6 })
	p.patch(&v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}, `{"spec":{"allow":null}}`)
	s := p.untilFinished()
	t.Logf("%d streams before the restart of the gateway, %d during, %d after", began, during-began, p.told().Requests-during)
	p.untilMetered()
	p.expectStreams(p.fullLog(s.Status.PodName))
}

// untilTold waits until the provider has told of some usage.
func (p *play) untilTold(what string, is func(provider.ModelStats) bool) {
	p.Helper()
	err := wait.PollUntilContextTimeout(p.Context(), 200*time.Millisecond, patience, true, func(context.Context) (bool, error) { return is(p.told()), nil })
	if err != nil {
		p.Fatalf("The provider should see %s: %v; it has seen %+v", what, err, p.told())
	}
}

// restartGateway replaces both replicas, one after the other, and waits until the new ones serve.
func (p *play) restartGateway() {
	p.Helper()
	for _, args := range [][]string{
		{"rollout", "restart", "deployment/sandkeep-gateway"},
		{"rollout", "status", "deployment/sandkeep-gateway", "--timeout=" + patience.String()},
	} {
		if out, err := p.kubectlCommand(p.Context(), v1alpha1.NamespaceSystem, args...).CombinedOutput(); err != nil {
			p.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// untilMetered waits until the status says what the provider told, to the token: a replica writes what it counted within half a minute.
func (p *play) untilMetered() {
	p.Helper()
	s := &v1alpha1.Session{}
	err := wait.PollUntilContextTimeout(p.Context(), time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := p.client.Get(ctx, client.ObjectKey{Namespace: p.namespace, Name: "work"}, s)
		return metered(s) == p.told(), err
	})
	if err != nil {
		p.Errorf("status.usage should become %+v: %v; it is %+v", p.told(), err, metered(s))
	}
}

// expectStreams checks from what the agent printed that some streams were read to their end, some were cut, and none was broken by the gateway.
func (p *play) expectStreams(log string) {
	p.Helper()
	for _, outcome := range []string{"whole 200/0", "cut 200/28"} {
		if n := strings.Count(log, outcome); n < 4 {
			p.Errorf("%d streams ended as %q, want some", n, outcome)
		}
	}
	revoked := regexp.MustCompile(`(?:whole|cut) (?:200|000)/\d+ (?:whole|cut) 403/.*`)     // of those before a refusal, the last one may have been cut when the permission ended
	wanted := regexp.MustCompile(`^(?:.*streams:)?( whole 200/0| cut (?:200|000)/28)*\s*$`) // an agent may have enough before the answer begins
	for line := range strings.Lines(log) {
		if before := revoked.ReplaceAllString(line, ""); strings.Contains(line, "streams:") && !wanted.MatchString(before) {
			p.Errorf("streams ended otherwise: %q", line)
		}
	}
}
