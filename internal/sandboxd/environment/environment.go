// Package environment makes what an agent finds around itself: its environment variables and the files that tell it about
// its providers. One function builds all of it, so that there is no second place to forget something in.
package environment

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// ownPrefix begins the variables that are meant for sandboxd.
const ownPrefix = "SANDKEEP_"

// Key is one delivered key and where it is.
type Key struct {
	// Value is the key itself; empty in a delivery that hands out none.
	Value string
	// Path is the file that holds it, for File delivery.
	Path string
}

// Built is what an agent gets.
type Built struct {
	// Env are NAME=value, sorted by name.
	Env []string
	// Files are written to the private directory and linked from the agent's home.
	Files []contract.FileSpec
}

// Build makes an agent's surroundings. Later sources win over earlier ones: the image's variables, the class's and the
// session's, then those of the credentials. What belongs to sandboxd, and every provider's credential variables, are taken
// out before the credentials come in, whatever brought them, so that exactly one credential of a provider reaches the agent.
func Build(image []string, c contract.Config, keys []Key, home, workspace string) Built {
	env := map[string]string{}
	for _, variable := range image {
		if name, value, ok := strings.Cut(variable, "="); ok && name != "" {
			env[name] = value
		}
	}
	for _, variable := range c.Env {
		env[variable.Name] = variable.Value
	}
	for name := range env {
		if strings.HasPrefix(name, ownPrefix) || slices.Contains(c.UnsetEnv, name) {
			delete(env, name)
		}
	}
	var files []contract.FileSpec
	for i, credential := range c.Credentials {
		files = append(files, tell(credential, keys[i], env)...)
	}
	env["HOME"], env["WORKSPACE"] = home, workspace
	return Built{Env: list(env), Files: merged(files)}
}

// merged makes one file of those with one path: an agent keeps what it knows of several providers in a single JSON file. Of
// files that are no JSON objects the last wins.
func merged(files []contract.FileSpec) []contract.FileSpec {
	var out []contract.FileSpec
	for _, file := range files {
		i := slices.IndexFunc(out, func(f contract.FileSpec) bool { return path.Clean(f.Path) == path.Clean(file.Path) })
		if i < 0 {
			out = append(out, file)
			continue
		}
		out[i].Content = mergedJSON(out[i].Content, file.Content)
	}
	return out
}

func mergedJSON(first, second string) string {
	var a, b map[string]any
	if json.Unmarshal([]byte(first), &a) != nil || json.Unmarshal([]byte(second), &b) != nil {
		return second
	}
	data, err := json.Marshal(overlay(a, b))
	if err != nil {
		return second
	}
	return string(data)
}

// overlay puts b's fields over a's, object by object.
func overlay(a, b map[string]any) map[string]any {
	for key, value := range b {
		below, isObject := a[key].(map[string]any)
		above, alsoObject := value.(map[string]any)
		if isObject && alsoObject {
			value = overlay(below, above)
		}
		a[key] = value
	}
	return a
}

// The words that stand for a credential.
const (
	apiKeyWord  = "$(API_KEY)"
	keyFileWord = "$(API_KEY_FILE)"
	baseURLWord = "$(BASE_URL)"
)

// tell adds what one credential tells the agent to env, and returns its files.
func tell(c contract.Credential, key Key, env map[string]string) []contract.FileSpec {
	words := strings.NewReplacer(apiKeyWord, key.Value, keyFileWord, key.Path, baseURLWord, strings.TrimRight(c.BaseURL, "/"))
	for _, variable := range c.Env {
		if applies(variable.Value, c.Delivery, contract.DeliveryEnv) {
			env[variable.Name] = words.Replace(variable.Value)
		}
	}
	var files []contract.FileSpec
	for _, file := range c.Files {
		if applies(file.Content, c.Delivery, contract.DeliveryFile) {
			files = append(files, contract.FileSpec{Path: file.Path, Content: words.Replace(file.Content)})
		}
	}
	return files
}

// applies decides whether a text of a given kind is used: one that holds the key only in the delivery of its own kind, one
// that names the key's file only where there is one, any other always.
func applies(text string, delivery, kind contract.Delivery) bool {
	switch {
	case strings.Contains(text, apiKeyWord):
		return delivery == kind
	case strings.Contains(text, keyFileWord):
		return delivery == contract.DeliveryFile
	default:
		return true
	}
}

func list(env map[string]string) []string {
	variables := make([]string, 0, len(env))
	for name, value := range env {
		variables = append(variables, name+"="+value)
	}
	slices.Sort(variables)
	return variables
}

// Keys finds the delivered keys, by the numbers of their credentials. readFile reads a file of the credentials' directory.
func Keys(image []string, credentials []contract.Credential, pathOf func(provider string) string, readFile func(name string) ([]byte, error)) ([]Key, error) {
	keys := make([]Key, len(credentials))
	for i, c := range credentials {
		switch c.Delivery {
		case contract.DeliveryEnv:
			keys[i].Value = lookup(image, contract.APIKeyEnv(i))
		case contract.DeliveryFile:
			keys[i].Path = pathOf(c.Provider)
			if data, err := readFile(keys[i].Path); err == nil {
				keys[i].Value = strings.TrimSpace(string(data))
			}
		default:
			continue
		}
		if keys[i].Value == "" {
			return nil, fmt.Errorf("the key of provider %s is empty or was not delivered; check key %q of Secret %q", c.Provider, c.SecretKey, c.SecretName)
		}
	}
	return keys, nil
}

// lookup finds a variable; a line break at the end of a key is not part of it.
func lookup(env []string, name string) string {
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
