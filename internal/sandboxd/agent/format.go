package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// parse turns one line of structured output into events; false when the line is not of the format.
type parse func(line []byte) ([]event, bool)

// parsers are the structured formats; OutputText has none.
var parsers = map[contract.Output]parse{
	contract.OutputOpenCodeJSON:     parseOpenCode,
	contract.OutputClaudeStreamJSON: parseClaude,
	contract.OutputCodexJSON:        parseCodex,
}

// understand is what a line of a format means. What cannot be understood is shown and counts for nothing.
func understand(p parse, l line) []event {
	text := bytes.TrimSpace(l.text)
	if len(text) == 0 {
		return nil
	}
	if l.tooLong() {
		return []event{{kind: stray, text: fmt.Sprintf("(a line of %d bytes was passed over)", l.size)}}
	}
	if events, ok := p(text); ok {
		return events
	}
	return []event{{kind: stray, text: string(text)}}
}

// decode reads one JSON object; false for everything else.
func decode(line []byte, into any) bool {
	return len(line) > 0 && line[0] == '{' && json.Unmarshal(line, into) == nil
}

// title is the most telling part of a tool's input.
func title(input json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(input, &fields) != nil {
		return ""
	}
	for _, key := range []string{"description", "command", "filePath", "file_path", "path", "pattern", "query", "url", "prompt"} {
		if text, ok := fields[key].(string); ok && text != "" {
			return strings.TrimSpace(text)
		}
	}
	return ""
}
