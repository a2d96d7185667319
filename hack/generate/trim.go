package main

import (
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// trimCRDs takes the descriptions of the core types inside podTemplate out of every CustomResourceDefinition in dir. Client-side
// `kubectl apply` keeps a copy of the object in an annotation, and all annotations together may have 256 KiB; with the
// descriptions of a pod, a CustomResourceDefinition has twice that.
func trimCRDs(dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := trimCRD(path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func trimCRD(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(content, &crd); err != nil {
		return err
	}
	trimPodTemplates(crd)
	if content, err = yaml.Marshal(crd); err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte("---\n"), content...), 0o644)
}

// trimPodTemplates finds the properties that are called podTemplate. Their own description is ours and stays.
func trimPodTemplates(node any) {
	eachChild(node, func(key string, child any) {
		template, isObject := child.(map[string]any)
		if key == "podTemplate" && isObject {
			dropDescriptions(template["properties"])
			return
		}
		trimPodTemplates(child)
	})
}

// dropDescriptions drops descriptions of schemas, and keeps a property that is called description.
func dropDescriptions(node any) {
	object, isObject := node.(map[string]any)
	if _, isText := object["description"].(string); isObject && isText {
		delete(object, "description")
	}
	eachChild(node, func(_ string, child any) { dropDescriptions(child) })
}

func eachChild(node any, visit func(key string, child any)) {
	switch node := node.(type) {
	case map[string]any:
		for key, child := range node {
			visit(key, child)
		}
	case []any:
		for _, child := range node {
			visit("", child)
		}
	}
}
