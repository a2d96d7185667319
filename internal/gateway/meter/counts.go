package meter

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// most is what a number counts as at most: so large that no answer has it, so small that sums of millions stay numbers.
const most = 1 << 40

// counts are the numbers of one format, as they were said. What each of them means, usage knows.
type counts struct{ input, read, written, tools, output, thoughts int64 }

// upTo takes the larger of each number: providers count up.
func (c counts) upTo(o counts) counts {
	return counts{
		input: max(c.input, o.input), read: max(c.read, o.read), written: max(c.written, o.written), tools: max(c.tools, o.tools),
		output: max(c.output, o.output), thoughts: max(c.thoughts, o.thoughts),
	}
}

// usage adds up what the numbers of a format mean.
func (c counts) usage(format Format) Usage {
	u := Usage{Input: c.input + c.tools, Output: c.output + c.thoughts, CacheRead: c.read, CacheWrite: c.written}
	if format == AnthropicMessages {
		u.Input += c.read + c.written
	}
	u.CacheRead = min(u.CacheRead, u.Input)
	u.CacheWrite = min(u.CacheWrite, u.Input-u.CacheRead)
	return u
}

// number is a count in JSON. Whatever is no number counts as zero.
type number int64

// UnmarshalJSON never fails.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = 0
	if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*n = number(min(max(i, 0), most))
	} else if f, err := strconv.ParseFloat(string(text), 64); err == nil || errors.Is(err, strconv.ErrRange) {
		*n = number(min(max(math.Ceil(f), 0), most))
	}
	return nil
}

// readers turn what stands in the place of usage into numbers.
var readers = map[Format]func([]byte) (counts, bool){AnthropicMessages: anthropic, OpenAI: openAI, Gemini: gemini}

// unmarshal takes what has the right type from an object, and reports whether it was JSON at all.
func unmarshal(object []byte, into any) bool {
	err := json.Unmarshal(object, into)
	wrongType := (*json.UnmarshalTypeError)(nil)
	return err == nil || errors.As(err, &wrongType)
}

// anthropic reads https://docs.claude.com/en/api/messages, "usage". In streams the numbers of message_delta are cumulative.
func anthropic(object []byte) (counts, bool) {
	var u struct {
		Input   number `json:"input_tokens"`
		Read    number `json:"cache_read_input_tokens"`
		Written number `json:"cache_creation_input_tokens"`
		Output  number `json:"output_tokens"`
	}
	ok := unmarshal(object, &u)
	return counts{input: int64(u.Input), read: int64(u.Read), written: int64(u.Written), output: int64(u.Output)}, ok
}

// details are the parts of an input. Written is said by services that put Anthropic's models behind OpenAI's API.
type details struct {
	Read    number `json:"cached_tokens"`
	Written number `json:"cache_write_tokens"`
}

// openAI reads the usage of Responses (input_tokens, output_tokens) and of Chat Completions and Embeddings (prompt_tokens, completion_tokens). The
// details are parts of these.
func openAI(object []byte) (counts, bool) {
	var u struct {
		Input         number  `json:"input_tokens"`
		Output        number  `json:"output_tokens"`
		InputDetails  details `json:"input_tokens_details"`
		Prompt        number  `json:"prompt_tokens"`
		Completion    number  `json:"completion_tokens"`
		PromptDetails details `json:"prompt_tokens_details"`
	}
	ok := unmarshal(object, &u)
	return counts{
		input: int64(max(u.Input, u.Prompt)), output: int64(max(u.Output, u.Completion)),
		read:    int64(max(u.InputDetails.Read, u.PromptDetails.Read)),
		written: int64(max(u.InputDetails.Written, u.PromptDetails.Written)),
	}, ok
}

// gemini reads https://ai.google.dev/api/generate-content, "UsageMetadata": the prompt includes what was cached, but neither the results of tools
// nor thoughts are in the other numbers.
func gemini(object []byte) (counts, bool) {
	var u struct {
		Prompt     number `json:"promptTokenCount"`
		Cached     number `json:"cachedContentTokenCount"`
		Tools      number `json:"toolUsePromptTokenCount"`
		Candidates number `json:"candidatesTokenCount"`
		Thoughts   number `json:"thoughtsTokenCount"`
	}
	ok := unmarshal(object, &u)
	return counts{
		input: int64(u.Prompt), read: int64(u.Cached), tools: int64(u.Tools),
		output: int64(u.Candidates), thoughts: int64(u.Thoughts),
	}, ok
}
