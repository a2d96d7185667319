package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/acp-go-sdk"
)

// feed stands between an agent's output and the protocol library, for three reasons. The library keeps at most 1024
// notifications and then drops the connection, so updates are taken out here, one after the other, and a fast agent waits
// for a slow log. The library ends at a line of 10 MB, and an agent may print one. And output that is no JSON is shown.
type feed struct {
	record  *record
	reader  *io.PipeReader
	writer  *io.PipeWriter
	options []acp.SessionConfigOption
	models  *acp.SessionModelState

	mu       sync.Mutex
	open     int
	quiet    chan struct{}
	whyBroke string
}

// maxMessage is the longest JSON-RPC message that is passed on, below the library's own limit.
const maxMessage = 8 << 20

// errGone is returned for requests that the agent's end left unanswered.
var errGone = errors.New("the agent has ended")

func newFeed(r *record) *feed {
	f := &feed{record: r, quiet: make(chan struct{}, 1)}
	f.reader, f.writer = io.Pipe()
	return f
}

// requests is what is left for the library: everything but session updates.
func (f *feed) requests() io.Reader { return f.reader }

func (f *feed) read(out io.Reader) {
	err := eachLine(out, maxMessage, f.message)
	f.settle()
	_ = f.writer.CloseWithError(err)
}

// settleTime is how long the end of the connection is kept from the library while a request is open: it may just have
// been answered, and the library would toss a coin between the answer and the end.
const settleTime = 250 * time.Millisecond

func (f *feed) settle() {
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	for f.waiting() {
		select {
		case <-f.quiet:
		case <-timer.C:
			return
		}
	}
}

func (f *feed) waiting() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open > 0
}

// message takes one line.
func (f *feed) message(l line) {
	text := bytes.TrimSpace(l.text)
	var head struct {
		Method string          `json:"method"`
		Params json.RawMessage `json:"params"`
	}
	switch {
	case len(text) == 0:
	case l.tooLong():
		f.overlong(l)
	case !decode(text, &head):
		f.record.apply(event{kind: stray, text: string(text)})
	case head.Method == acp.ClientMethodSessionUpdate:
		f.record.apply(updateEvents(head.Params)...)
	default:
		_, _ = f.writer.Write(append(bytes.Clone(text), '\n'))
	}
}

// overlong passes over an update; anything else of that size is an answer that somebody waits for, so the agent is given up.
func (f *feed) overlong(l line) {
	note := fmt.Sprintf("(a message of %d bytes was passed over)", l.size)
	f.record.apply(event{kind: stray, text: note})
	const head = 1 << 10
	if bytes.Contains(l.text[:min(head, len(l.text))], []byte(acp.ClientMethodSessionUpdate)) {
		return
	}
	f.broke(fmt.Sprintf("The agent answered with a message of %d bytes, of which at most %d are understood", l.size, maxMessage))
	_ = f.writer.CloseWithError(io.ErrShortBuffer)
}

// broke remembers why there will be no more answers.
func (f *feed) broke(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.whyBroke == "" {
		f.whyBroke = why
	}
}

func (f *feed) whyBroken() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.whyBroke
}

// call sends a request and waits for its answer, at most for limit where that is not 0.
func call[Q, A any](ctx context.Context, c *conversation, limit time.Duration, request Q, send func(context.Context, Q) (A, error)) (A, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errUnanswered)
		defer cancel()
	}
	c.feed.count(1)
	defer c.feed.count(-1)
	type reply struct {
		answer A
		err    error
	}
	replies := make(chan reply, 1)
	go func() { // sending blocks for as long as the agent does not read
		answer, err := send(ctx, request)
		replies <- reply{answer, err}
	}()
	select {
	case r := <-replies:
		return r.answer, told(ctx, c.conn, r.err)
	case <-ctx.Done():
		var none A
		return none, context.Cause(ctx)
	}
}

// told tells the agent's refusal from its end and from our own impatience, all of which the library returns alike.
func told(ctx context.Context, conn *acp.ClientSideConnection, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	select {
	case <-conn.Done():
		if strings.Contains(err.Error(), "peer disconnected") {
			return errGone
		}
	default:
	}
	if isBrokenPipe(err) {
		return errGone
	}
	return err
}

// isBrokenPipe recognises a request that could not be sent; the library keeps the text of the error only.
func isBrokenPipe(err error) bool {
	text := err.Error()
	return strings.Contains(text, "broken pipe") || strings.Contains(text, os.ErrClosed.Error())
}

func (f *feed) count(n int) {
	f.mu.Lock()
	f.open += n
	f.mu.Unlock()
	select {
	case f.quiet <- struct{}{}:
	default:
	}
}

// knownModels names some models that the agent offers.
func (f *feed) knownModels() string {
	var names []string
	if option := modelOption(f.options); option != nil && option.Options.Ungrouped != nil {
		for _, choice := range *option.Options.Ungrouped {
			names = append(names, string(choice.Value))
		}
	}
	if f.models != nil {
		for _, model := range f.models.AvailableModels {
			names = append(names, string(model.ModelId))
		}
	}
	const few = 10
	if len(names) > few {
		names = append(names[:few], "others")
	}
	return strings.Join(names, ", ")
}
