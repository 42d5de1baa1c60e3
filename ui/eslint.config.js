// Rules for the UI's code. `npm run lint` runs them; every rule that is off has its reason beside it.
import react from "@eslint-react/eslint-plugin";
import js from "@eslint/js";
import query from "@tanstack/eslint-plugin-query";
import { defineConfig, globalIgnores } from "eslint/config";
import jsxA11y from "eslint-plugin-jsx-a11y-x";
import reactHooks from "eslint-plugin-react-hooks";
import testingLibrary from "eslint-plugin-testing-library";
import typescript from "typescript-eslint";

export default defineConfig(
  globalIgnores(["src/api/schema.d.ts"]), // generated from openapi.json
  js.configs.recommended,
  typescript.configs.strictTypeChecked,
  typescript.configs.stylisticTypeChecked,
  react.configs["strict-type-checked"],
  reactHooks.configs.flat.recommended,
  jsxA11y.configs.strict,
  query.configs["flat/recommended-strict"],
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // Choices between two good styles.
      "@typescript-eslint/consistent-type-definitions": ["error", "type"],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        {
          allowAny: false,
          allowBoolean: false,
          allowNever: false,
          allowNullish: false,
          allowNumber: true,
          allowRegExp: false,
        },
      ],
      // `const { removed: _, ...rest } = query` is how a key is left out.
      "@typescript-eslint/no-unused-vars": ["error", { varsIgnorePattern: "^_$" }],
      // The same rules as react-hooks, which is React's own plugin: one report for one finding.
      "@eslint-react/exhaustive-deps": "off",
      "@eslint-react/set-state-in-effect": "off",
      // Queries are built in api/ only, where the key and the function stand side by side anyway.
      "@tanstack/query/prefer-query-options": "off",
      // A region that scrolls has to be reachable by Tab (axe: scrollable-region-focusable); it has this role and a label.
      "jsx-a11y-x/no-noninteractive-tabindex": ["error", { tags: [], roles: ["group"] }],
      // The combobox pattern of WAI-ARIA: a list whose items the text field chooses from.
      "jsx-a11y-x/no-noninteractive-element-to-interactive-role": [
        "error",
        { ul: ["listbox"], li: ["option"] },
      ],
    },
  },
  {
    files: ["**/*.test.{ts,tsx}"],
    extends: [testingLibrary.configs["flat/react"]],
    rules: {
      // Whether markup in a name became an element is seen in the document only, by no role.
      "testing-library/no-container": "off",
      "testing-library/no-node-access": "off",
    },
  },
);
