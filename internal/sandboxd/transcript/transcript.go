// Package transcript writes the record of a run to standard output, where kubectl logs finds it: readable text, or one JSON
// object a line. Nothing reaches it with a key or a terminal's control sequences inside.
package transcript

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
)

// Kind says what an Entry is about.
type Kind string

// The kinds.
const (
	// KindNote is said by sandboxd itself: what it does, and why something failed.
	KindNote Kind = "note"
	// KindText is a line of what the agent says.
	KindText Kind = "text"
	// KindTool is a tool call of the agent.
	KindTool Kind = "tool"
	// KindStderr is a line of the agent's standard error, or of output that is not in the format it promised.
	KindStderr Kind = "stderr"
	// KindUsage is what the agent says it used so far.
	KindUsage Kind = "usage"
	// KindEnd is the last entry: how the run ended.
	KindEnd Kind = "end"
)

// Entry is one line of the transcript in LogFormat JSON. Fields that do not apply are left out.
type Entry struct {
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Text is what was said; a tool call's title.
	Text string `json:"text,omitempty"`
	// Tool and Status are set for KindTool: the kind of tool, and pending, in_progress, completed or failed.
	Tool   string `json:"tool,omitempty"`
	Status string `json:"status,omitempty"`
	// Usage is set for KindUsage and KindEnd.
	Usage *contract.Usage `json:"usage,omitempty"`
	// Outcome and Class are set for KindEnd.
	Outcome contract.Outcome      `json:"outcome,omitempty"`
	Class   contract.FailureClass `json:"class,omitempty"`
}

// Transcript is safe for use by several goroutines.
type Transcript struct {
	mu       sync.Mutex
	out      io.Writer
	format   contract.LogFormat
	now      func() time.Time
	redactor *redact.Redactor
	agent    *Stream
	stderr   *Stream
}

// New is a Transcript on out.
func New(out io.Writer, format contract.LogFormat, redactor *redact.Redactor, now func() time.Time) *Transcript {
	t := &Transcript{out: out, format: format, now: now, redactor: redactor}
	t.agent = newStream(redactor, func(line string) { t.write(Entry{Kind: KindText, Text: line}) })
	t.stderr = newStream(redactor, func(line string) { t.write(Entry{Kind: KindStderr, Text: line}) })
	return t
}

// Note says something in sandboxd's own words.
func (t *Transcript) Note(format string, args ...any) {
	t.add(Entry{Kind: KindNote, Text: fmt.Sprintf(format, args...)})
}

// Tool shows a tool call.
func (t *Transcript) Tool(tool, title, status string) {
	t.add(Entry{Kind: KindTool, Tool: tool, Text: title, Status: status})
}

// Usage shows what has been used.
func (t *Transcript) Usage(u contract.Usage) { t.add(Entry{Kind: KindUsage, Usage: &u}) }

// End is the last word about a run.
func (t *Transcript) End(r contract.Report) {
	text := r.Message
	if r.Outcome == contract.OutcomeSucceeded {
		text = r.Summary
	}
	t.add(Entry{Kind: KindEnd, Text: text, Outcome: r.Outcome, Class: r.Class, Usage: &r.Usage})
}

// Text shows a piece of what the agent says; lines appear as they are completed.
func (t *Transcript) Text(piece string) { t.feed(t.agent, piece) }

// Stderr shows a piece of the agent's standard error.
func (t *Transcript) Stderr(piece string) { t.feed(t.stderr, piece) }

// Flush completes the line that the agent is saying.
func (t *Transcript) Flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.agent.flush()
	t.stderr.flush()
}

func (t *Transcript) feed(s *Stream, piece string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.add(piece)
}

// add writes an entry after what the agent had begun to say before it.
func (t *Transcript) add(e Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.agent.flush()
	e.Text, e.Tool, e.Status = t.clean(e.Text), t.clean(e.Tool), t.clean(e.Status)
	t.write(e)
}

// maxEntry bounds the text of an entry that is not streamed.
const maxEntry = 8 << 10

func (t *Transcript) clean(text string) string {
	return contract.Clean(t.redactor.String(Printable(text)), maxEntry)
}

// write writes one entry; a broken standard output must not end a run, so errors are dropped.
func (t *Transcript) write(e Entry) {
	if t.format == contract.LogFormatJSON {
		e.Time = t.now().UTC()
		if data, err := json.Marshal(e); err == nil {
			_, _ = t.out.Write(append(data, '\n'))
		}
		return
	}
	_, _ = io.WriteString(t.out, readable(e))
}
