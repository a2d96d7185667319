package agent

import (
	"cmp"
	"strings"
	"sync"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
	"github.com/sandkeep/sandkeep/internal/sandboxd/redact"
	"github.com/sandkeep/sandkeep/internal/sandboxd/transcript"
)

// record gathers what events amount to: evidence of work, the last words, usage and the cause of a failure. All of it is
// bounded, whatever an agent prints.
type record struct {
	mu         sync.Mutex
	transcript *transcript.Transcript
	redactor   *redact.Redactor
	echo       echo
	worked     bool
	message    *tail
	open       bool
	messageID  string
	conclusion string
	usage      contract.Usage
	cause      failure.Cause
	final      bool
	strays     *tail
	shown      map[string]tool
}

// Bounds of what is remembered.
const (
	maxSummary = 8 << 10
	maxStray   = 4 << 10
	maxShown   = 1000
	maxTitle   = 1 << 10
)

func newRecord(t *transcript.Transcript, redactor *redact.Redactor, prompt string) *record {
	return &record{
		transcript: t,
		redactor:   redactor,
		echo:       newEcho(prompt),
		message:    newTail(maxSummary, redactor),
		strays:     newTail(maxStray, redactor),
		shown:      map[string]tool{},
	}
}

func (r *record) apply(events ...event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range events {
		r.applyOne(e)
	}
}

func (r *record) applyOne(e event) {
	switch e.kind {
	case said:
		if e.message != r.messageID {
			r.endMessage()
			r.messageID = e.message
		}
		r.say(e.text)
	case ended:
		r.endMessage()
	case called:
		r.recover()
		r.worked = true
		r.show(e.tool)
	case finished:
		r.recover()
	case used:
		r.usage = e.usage
	case usedMore:
		r.usage.Requests += e.usage.Requests
		r.usage.InputTokens += e.usage.InputTokens
		r.usage.OutputTokens += e.usage.OutputTokens
	case failed, lost:
		r.cause, r.final = e.cause, e.kind == lost
		r.cause.Text = r.redactor.String(e.cause.Text)
		r.transcript.Note("The agent reports an error: %s", e.cause.Text)
	case concluded:
		r.echo.add(e.text)
		r.conclusion = r.redactor.String(e.text)
	case remarked:
		r.transcript.Note("%s", e.text)
	case stray:
		r.strays.add(e.text + "\n")
		r.transcript.Stderr(e.text + "\n")
	}
}

// say takes a piece of the agent's answer.
func (r *record) say(text string) {
	if text == "" {
		return
	}
	if !r.open {
		r.message.reset()
		r.open = true
	}
	if strings.TrimSpace(text) != "" {
		r.recover()
	}
	r.message.add(text)
	r.echo.add(text)
	r.transcript.Text(text)
}

func (r *record) endMessage() {
	if r.open {
		r.open = false
		r.transcript.Flush()
	}
}

// recover forgets an error that the agent got over by itself.
func (r *record) recover() {
	if !r.final {
		r.cause = failure.Cause{}
	}
}

// show writes a tool call to the transcript whenever there is news of it. Agents repeat themselves while a tool runs, and
// leave out what they have said before.
func (r *record) show(t tool) {
	r.endMessage()
	t.title = clip(r.redactor.String(t.title), maxTitle)
	before, known := r.shown[t.id]
	t.kind, t.title, t.status = cmp.Or(t.kind, before.kind), cmp.Or(t.title, before.title), cmp.Or(t.status, before.status)
	if known && t == before {
		return
	}
	if len(r.shown) >= maxShown {
		clear(r.shown)
	}
	r.shown[t.id] = t
	if t.status != statusPending {
		r.transcript.Tool(t.kind, t.title, t.status)
	}
}

// evidence reports that the agent did something: it said a word that is not the prompt, or called a tool. That a model
// counts output tokens is no evidence by itself in formats that show the text: an empty answer costs some as well.
func (r *record) evidence() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.worked || r.echo.more()
}

// summary is the agent's last words.
func (r *record) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.TrimSpace(r.conclusion) != "" {
		return clip(r.conclusion, maxSummary)
	}
	return strings.TrimSpace(r.message.String())
}

// clip is the beginning of a text.
func clip(text string, limit int) string {
	return strings.TrimSpace(strings.ToValidUTF8(text[:min(len(text), limit)], ""))
}

// reported is the error that the agent reported and did not get over.
func (r *record) reported() failure.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// remains is the end of the output that nothing else could be made of.
func (r *record) remains() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := strings.TrimSpace(r.strays.String()); text != "" {
		return text
	}
	const few = 1 << 10
	text := r.message.String()
	return strings.TrimSpace(text[max(0, len(text)-few):])
}
