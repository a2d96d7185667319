package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/test/fixtures/provider"
)

// keyFile is where a key of the keep is in a sandbox that gets it as a file.
const keyFile = contract.ChannelDir + "/" + stageName + "/" + contract.APIKeyFile

// search says in which files and which environments the key is that it gets on standard input.
const search = `search() { grep --recursive --no-messages --fixed-strings --files-with-matches --file=- /sandkeep /home /tmp /workspace /etc /run /dev/shm | sed 's/^/found /'; }
searchEnvironments() { grep --no-messages --fixed-strings --files-with-matches --file=- /proc/[0-9]*/environ /proc/[0-9]*/cmdline | wc -l | sed 's/^/environments /'; }
`

// newHandedPlay is one whose key may enter sandboxes.
func newHandedPlay(t *testing.T) *play {
	t.Helper()
	p := newProxiedPlay(t)
	p.patch(&v1alpha1.ClusterCredential{ObjectMeta: metav1.ObjectMeta{Name: p.namespace}}, `{"spec":{"deliveries":["Env","File"]}}`)
	return p
}

// secret is that of the key of the test, as it is now.
func (p *play) secret() *corev1.Secret {
	p.Helper()
	secret := &corev1.Secret{}
	if err := p.client.Get(p.Context(), client.ObjectKey{Namespace: v1alpha1.NamespaceKeys, Name: p.namespace}, secret); err != nil {
		p.Fatal(err)
	}
	return secret
}

// expectHolding checks that the gateway knows which revision of the key the sandbox has.
func (p *play) expectHolding(s *v1alpha1.Session) {
	p.Helper()
	inUse := s.Status.CredentialsInUse
	if len(inUse) != 1 || inUse[0].Ref.Name != p.namespace || inUse[0].Revision != p.secret().ResourceVersion {
		p.Errorf("credentialsInUse is %+v, want the revision of the key", inUse)
	}
	if s.Status.Auth != "Cluster/APIKey" {
		p.Errorf("status.auth is %q", s.Status.Auth)
	}
}

func (p *play) expectLog(s *v1alpha1.Session, lines ...string) string {
	p.Helper()
	log := p.fullLog(s.Status.PodName)
	for _, line := range lines {
		if !strings.Contains(log, line+"\n") {
			p.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	return log
}

// TestI2KeyOfTheKeepIsInAFileAndFollowsIt: an agent that reads its key from a file has it there, also when it is changed under it.
func TestI2KeyOfTheKeepIsInAFileAndFollowsIt(t *testing.T) {
	p := newHandedPlay(t)
	script := search + `key=` + keyFile + `; auth=$HOME/.local/share/opencode/auth.json
	says() { echo "$1 $(sha256sum <$key | cut -c1-8) $(stat --format=%a $key) $(stat --dereference --format=%a $auth) $(grep --count --file=$key $auth)"; }
	says first; search <$key; searchEnvironments <$key; echo "variable ${ANTHROPIC_API_KEY:-none}"; echo "memory $(stat --file-system --format=%T $key)"; cat $key $auth
	before=$(cat $key); until [ "$(cat $key)" != "$before" ] && grep --quiet --file=$key $auth; do sleep 0.2; done
	says second; search <$key; cat $key $auth; echo "$before"`
	p.session("ok", p.commandClass(script, paid(v1alpha1.DeliveryFile), func(c *v1alpha1.SessionClassSpec) { c.Agent.Name = "opencode" }))
	p.untilRunning()
	first := p.key
	p.key = newKey(t)
	began := time.Now()
	p.patch(p.secret(), fmt.Sprintf(`{"stringData":{%q:%q}}`, secretKey, p.key))
	s := p.untilSucceeded()
	took := time.Since(began).Round(time.Second)
	t.Logf("the new key was in the file, and the agent had ended, %s after the Secret had changed", took)
	if took > time.Minute {
		t.Errorf("the new key took %s", took)
	}
	p.expectHolding(s)
	log := p.expectLog(s, "environments 0", "variable none", "memory tmpfs",
		"first "+provider.Fingerprint(first)+" 600 600 1", "second "+provider.Fingerprint(p.key)+" 600 600 1")
	log, _, _ = strings.Cut(log, "[sandkeep] Succeeded") // the report says all of it again
	if got := strings.Count(log, "found "); got != 4 || strings.Count(log, "found "+keyFile) != 2 || strings.Count(log, "found "+contract.PrivateDir+"/files/") != 2 {
		t.Errorf("the key is in other files:\n%s", log)
	}
	p.key, first = first, p.key // both are looked for at the end
	p.searchForKey()
	p.key = first
}

// TestI2KeyOfTheKeepIsInTheEnvironmentOfTheAgent, and nowhere else.
func TestI2KeyOfTheKeepIsInTheEnvironmentOfTheAgent(t *testing.T) {
	p := newHandedPlay(t)
	script := search + `say() { printf %s "$ANTHROPIC_API_KEY"; }
	echo "fingerprint $(say | sha256sum | cut -c1-8)"; say | search; say | searchEnvironments; ls -A ` + contract.PrivateDir + `; env | grep '^SANDKEEP'; env; say | base64`
	p.session("ok", p.commandClass(script, paid(v1alpha1.DeliveryEnv)))
	s := p.untilSucceeded()
	p.expectHolding(s)
	log := p.expectLog(s, "fingerprint "+provider.Fingerprint(p.key))
	if strings.Contains(log, "found ") || strings.Contains(log, "environments 0") || strings.Contains(log, "credentials\n") || strings.Contains(log, "\nSANDKEEP") {
		t.Errorf("the key is elsewhere, or not where it should be:\n%s", log)
	}
}
