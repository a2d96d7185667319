package witness

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Verdict is what an answer says of the key that it was asked with.
type Verdict string

// The verdicts; an empty one is that the answer says nothing of the key.
const (
	Accepted    Verdict = "Accepted"
	Rejected    Verdict = "Rejected"
	RateLimited Verdict = "RateLimited"
	NoCredit    Verdict = "NoCredit"
)

// Judge says what an answer means for the key, from its status and from those fields of an error that a provider fills with words of its own. Whoever asks
// must not be able to take a key away from everybody else, and providers repeat what they were asked: the text of an error decides nothing, but
// for one sentence of Anthropic's, which must be the whole of it.
//
// Only success shows that a key is good. An outage says nothing of it, and neither do 404 and 400: providers answer them before they look at the key as
// well as after, so that they would make a refused key look like a good one. It also returns the patience that the provider asks for.
func Judge(status int, header http.Header, body []byte) (Verdict, time.Duration) {
	if status > 0 && status < http.StatusBadRequest {
		return Accepted, 0
	}
	e := errorIn(body)
	switch status {
	case http.StatusPaymentRequired:
		return NoCredit, 0
	case http.StatusUnauthorized:
		return Rejected, 0
	case http.StatusForbidden:
		return e.forbidden(), 0
	case http.StatusTooManyRequests:
		if e.noCredit() {
			return NoCredit, 0
		}
		return RateLimited, e.patience(header)
	case http.StatusBadRequest:
		return e.badRequest(), 0
	}
	return "", 0
}

// providerError is the part of an error that tells of the key. Anthropic and OpenAI put a word into type, OpenAI into code as well; OpenRouter has a number
// there; Google puts words into the reasons of details.
type providerError struct {
	Type    text `json:"type"`
	Code    text `json:"code"`
	Message text `json:"message"`
	Details []struct {
		Reason     text `json:"reason"`
		RetryDelay text `json:"retryDelay"`
	} `json:"details"`
	Metadata struct {
		FlaggedInput *text `json:"flagged_input"`
	} `json:"metadata"`
}

// text is a string where there is one, and empty in the place of anything else.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		*t = text(s)
	}
	return nil
}

// errorIn is the error at the top of a body; zero where there is none. Google wraps it into a list where a stream was asked for. A field of another type
// than expected is left out, and all of what is no JSON.
func errorIn(body []byte) providerError {
	type document struct {
		Error providerError `json:"error"`
	}
	list := make([]document, 1)
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) {
		_ = json.Unmarshal(body, &list)
	} else {
		_ = json.Unmarshal(body, &list[0])
	}
	if len(list) == 0 {
		return providerError{}
	}
	return list[0].Error
}

var (
	// creditWords are types and codes of accounts without credit (https://docs.anthropic.com/en/api/errors,
	// https://platform.openai.com/docs/guides/error-codes).
	creditWords = []text{"billing_error", "insufficient_quota", "billing_not_active", "billing_hard_limit_reached"}
	// requestWords are codes of requests that are refused with 403 for what they ask for, whatever the key.
	requestWords = []text{"model_not_found", "content_policy_violation", "content_filter"}
	// noCreditAtAnthropic is the whole of what Anthropic says under invalid_request_error. A part would not do: the names of unknown fields begin other
	// messages of that type.
	noCreditAtAnthropic = regexp.MustCompile(`^Your credit balance is too low to access the [A-Za-z]+ API\. Please go to Plans & Billing to upgrade or purchase credits\.$`)
)

// invalidKey is the reason by which Google refuses a key with 400 (https://cloud.google.com/apis/design/errors).
const invalidKey text = "API_KEY_INVALID"

func (e providerError) noCredit() bool {
	return slices.Contains(creditWords, e.Type) || slices.Contains(creditWords, e.Code)
}

// forbidden tells a refused key from a refused request: of a model that the key may not use, or, at OpenRouter, of an input that was moderated.
func (e providerError) forbidden() Verdict {
	switch {
	case e.noCredit():
		return NoCredit
	case slices.Contains(requestWords, e.Code), e.Metadata.FlaggedInput != nil:
		return ""
	}
	return Rejected
}

func (e providerError) badRequest() Verdict {
	for _, d := range e.Details {
		if d.Reason == invalidKey {
			return Rejected
		}
	}
	if e.noCredit() || e.Type == "invalid_request_error" && noCreditAtAnthropic.MatchString(string(e.Message)) {
		return NoCredit
	}
	return ""
}

// patience is what the header asks for in seconds, else what Google says in details, such as "37s"; zero for none.
func (e providerError) patience(header http.Header) time.Duration {
	if seconds, err := strconv.ParseUint(header.Get("Retry-After"), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	for _, d := range e.Details {
		if strings.HasSuffix(string(d.RetryDelay), "s") {
			if delay, err := time.ParseDuration(string(d.RetryDelay)); err == nil {
				return max(delay, 0)
			}
		}
	}
	return 0
}
