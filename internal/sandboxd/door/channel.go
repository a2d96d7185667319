package door

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
)

const (
	heartbeat = contract.HeartbeatSeconds * time.Second
	// reportTime bounds Report; a run's last word is in the termination message as well.
	reportTime = 10 * time.Second
	// tryTime bounds one try of it, in which the gateway writes to the API server.
	tryTime = 4 * time.Second
)

// reportPauses are made before each try.
var reportPauses = []time.Duration{0, 500 * time.Millisecond, time.Second}

// errStatus is returned for answers other than 2xx.
var errStatus = errors.New("unexpected status")

// beat sends heartbeats until ctx ends, the first at once: so the connection is there when the agent needs it, and the user learns early
// of a gateway that cannot be reached.
func (d *Door) beat(ctx context.Context) {
	for pause := time.Duration(0); sleep(ctx, pause) == nil; pause = nextBeat() {
		if err := d.post(ctx, contract.GatewayHeartbeat, nil, heartbeat-maxPause); err != nil && ctx.Err() == nil {
			d.hint(err)
		}
	}
}

// nextBeat is up to a tenth early, so that sandboxes that were started together do not beat together.
func nextBeat() time.Duration { return heartbeat - rand.N(heartbeat/10) }

// Report tells the gateway how the run ended. It takes 10 s at most, and less if ctx ends.
func (d *Door) Report(ctx context.Context, report []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	var last error
	for _, pause := range reportPauses {
		if err := sleep(ctx, pause); err != nil {
			return errors.Join(last, err)
		}
		if last = d.post(ctx, contract.GatewayReport, report, tryTime); last == nil {
			return nil
		}
	}
	return last
}

// post says something in sandboxd's own name.
func (d *Door) post(ctx context.Context, path string, body []byte, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: %w", path, err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("User-Agent", "sandboxd")
	answer, err := d.calls.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("post to %s: %w", path, err)
	}
	discard(answer)
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("post to %s: %w %d", path, errStatus, answer.StatusCode)
	}
	return nil
}
