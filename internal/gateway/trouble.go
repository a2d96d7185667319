package gateway

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// troubleTime is how often the log tells of the same trouble with the same provider: agents try again, and hostile ones as often as they can.
const troubleTime = time.Minute

// troubles are when the log last told of what.
type troubles struct {
	mu   sync.Mutex
	told map[trouble]time.Time
}

type trouble struct{ provider, kind string }

// news is true where the log has not told of it for a while.
func (t *troubles) news(of trouble, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.told[of]; ok && now.Sub(last) < troubleTime {
		return false
	}
	if t.told == nil {
		t.told = map[trouble]time.Time{}
	}
	t.told[of] = now
	return true
}

// troubled tells admins why a provider did not answer, in words that an agent need not know.
func (x *exchange) troubled(kind string, err error) {
	name := x.grant.Provider.Name
	if !x.troubles.news(trouble{name, kind}, x.Clock.Now()) {
		return
	}
	cause := contract.OneLine(err.Error(), 256)
	if x.detector.InHeader(http.Header{"": {err.Error()}}) {
		cause = "not told, since it holds the key"
	}
	x.Log.Info("A provider did not answer", "provider", name, "reason", kind, "cause", cause)
}

// because says what an agent may know of why there is no connection.
func because(err error) string {
	var unknown *net.DNSError
	var plain tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		return "cannot be reached, as the name of its host is not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "cannot be reached, as its host refuses the connection"
	case errors.As(err, &plain):
		return "cannot be reached, as its host does not speak TLS"
	}
	return "cannot be reached, or broke the connection"
}
