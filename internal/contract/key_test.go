package contract

import (
	"strings"
	"testing"
)

func TestAKeySurvivesItsWay(t *testing.T) {
	request, key := KeyRequest{Provider: "anthropic", Revision: "7"}, Key{Provider: "anthropic", Delivery: DeliveryFile, Revision: "8", Value: `<"key">&`}
	sent, err := request.Encode()
	if got, decodeErr := DecodeKeyRequest(sent); err != nil || decodeErr != nil || got != request {
		t.Errorf("%s becomes %+v, %v, %v", sent, got, err, decodeErr)
	}
	sent, err = key.Encode()
	if got, decodeErr := DecodeKey(sent); err != nil || decodeErr != nil || got != key {
		t.Errorf("%s becomes %+v, %v, %v", sent, got, err, decodeErr)
	}
}

func TestWhatIsNoKeyIsAnErrorThatQuotesNothing(t *testing.T) {
	const secret = "sk-ant-canary"
	for name, data := range map[string]string{
		"nothing": "", "no JSON": secret, "cut": `{"provider":"anthropic","revision":"7","value":"` + secret, "a string": `"` + secret + `"`,
		"of another type": `{"provider":{"x":"` + secret + `"}}`, "followed by more": `{"provider":"anthropic","revision":"7","value":"x"}` + secret,
		"of nobody": `{"revision":"7","value":"` + secret + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			key, err := DecodeKey([]byte(data))
			if err == nil || key != (Key{}) || strings.Contains(err.Error(), secret) {
				t.Errorf("got a key: %t, %v", key != Key{}, err)
			}
			request, err := DecodeKeyRequest([]byte(data))
			if err == nil || request != (KeyRequest{}) || strings.Contains(err.Error(), secret) {
				t.Errorf("got %+v, %v", request, err)
			}
		})
	}
	for name, data := range map[string]string{
		"without a value": `{"provider":"anthropic","revision":"7"}`, "without a revision": `{"provider":"anthropic","value":"` + secret + `"}`,
	} {
		if _, err := DecodeKey([]byte(data)); err == nil {
			t.Errorf("a key %s is one", name)
		}
	}
}
