package agent

import (
	"encoding/json"
	"fmt"

	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/sandboxd/failure"
)

// claudeLine is a line of `claude -p --output-format stream-json --verbose`, as Claude Code 2.1.330 writes it.
type claudeLine struct {
	Type    string `json:"type"`
	Message struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	// IsError decides about success; the result's subtype says "success" even on a refused key.
	IsError  *bool           `json:"is_error"`
	Result   json.RawMessage `json:"result"`
	Errors   json.RawMessage `json:"errors"`
	Error    json.RawMessage `json:"error"`
	Subtype  string          `json:"subtype"`
	Status   int             `json:"api_error_status"`
	NumTurns int64           `json:"num_turns"`
	// Attempt, MaxRetries and ErrorStatus are set for the subtype api_retry.
	Attempt     int `json:"attempt"`
	MaxRetries  int `json:"max_retries"`
	ErrorStatus int `json:"error_status"`
	Usage       struct {
		Input       int64 `json:"input_tokens"`
		CacheRead   int64 `json:"cache_read_input_tokens"`
		CacheCreate int64 `json:"cache_creation_input_tokens"`
		Output      int64 `json:"output_tokens"`
	} `json:"usage"`
}

// claudeBlock is a part of a message.
type claudeBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	IsError   bool            `json:"is_error"`
}

func parseClaude(line []byte) ([]event, bool) {
	var l claudeLine
	if !decode(line, &l) || l.Type == "" {
		return nil, false
	}
	switch l.Type {
	case "assistant":
		return claudeAnswer(l), true
	case "user":
		return claudeToolResults(l), true
	case "result":
		return claudeResult(l), true
	case "system":
		return claudeRetry(l), true
	default: // stream_event, and whatever later versions add
		return nil, true
	}
}

// claudeAnswer reads an assistant message. Claude Code writes its own error texts as assistant messages that carry an
// `error`; those are no answer of a model, and so no evidence.
func claudeAnswer(l claudeLine) []event {
	blocks := claudeBlocks(l.Message.Content)
	if cause := failure.FromJSON(l.Error); len(l.Error) > 0 && !cause.Empty() {
		cause.Types = append(cause.Types, cause.Text) // `error` is a name, and the text says what it means
		for _, b := range blocks {
			cause.Text = b.Text
		}
		return []event{{kind: failed, cause: claudeCause(cause)}}
	}
	var events []event
	for _, b := range blocks {
		switch b.Type {
		case "text":
			events = append(events, event{kind: said, text: b.Text}, event{kind: ended})
		case "tool_use":
			t := tool{id: b.ID, kind: b.Name, title: title(b.Input), status: statusInProgress}
			events = append(events, event{kind: called, tool: t})
		}
	}
	return events
}

// claudeRetry tells of a request that is sent again; other system lines are of no interest.
func claudeRetry(l claudeLine) []event {
	if l.Subtype != "api_retry" {
		return nil
	}
	text := fmt.Sprintf("The agent sends a request again (%d of %d) after: %s", l.Attempt, l.MaxRetries, failure.FromJSON(l.Error).Text)
	if l.ErrorStatus != 0 {
		text += fmt.Sprintf(" (status %d)", l.ErrorStatus)
	}
	return []event{{kind: remarked, text: text}}
}

// claudeToolResults reads the user message in which tools answer. Only failures are worth a line: what succeeded was shown
// when it started.
func claudeToolResults(l claudeLine) []event {
	var events []event
	for _, b := range claudeBlocks(l.Message.Content) {
		if b.Type == "tool_result" && b.IsError {
			events = append(events, event{kind: called, tool: tool{id: b.ToolUseID, kind: "tool", status: statusFailed}})
		}
	}
	return events
}

func claudeResult(l claudeLine) []event {
	usage := contract.Usage{
		Requests:     l.NumTurns,
		InputTokens:  l.Usage.Input + l.Usage.CacheRead + l.Usage.CacheCreate,
		OutputTokens: l.Usage.Output,
	}
	events := []event{{kind: used, usage: usage}}
	if l.IsError == nil || *l.IsError {
		return append(events, event{kind: lost, cause: claudeFailure(l)})
	}
	var text string
	_ = json.Unmarshal(l.Result, &text)
	return append(events, event{kind: concluded, text: text})
}

// claudeFailure is the cause that a result names, in its text, its errors or, at the least, its subtype.
func claudeFailure(l claudeLine) failure.Cause {
	cause := failure.FromJSON(l.Result)
	if cause.Text == "" {
		cause = failure.FromJSON(l.Errors)
	}
	if cause.Text == "" {
		cause.Text = l.Subtype
	}
	if cause.Status == 0 {
		cause.Status = l.Status
	}
	return claudeCause(cause)
}

// claudeCause is a cause whose text is read once more: the texts hold a status and the provider's own JSON.
func claudeCause(c failure.Cause) failure.Cause {
	inner := failure.FromText(c.Text)
	inner.Types = append(inner.Types, c.Types...)
	if inner.Status == 0 {
		inner.Status = c.Status
	}
	return inner
}

// claudeBlocks reads a message's content, which may also be plain text.
func claudeBlocks(content json.RawMessage) []claudeBlock {
	var blocks []claudeBlock
	if json.Unmarshal(content, &blocks) == nil {
		return blocks
	}
	return nil
}
