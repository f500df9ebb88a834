"""The pages, in TypeScript and React (`src/`), and how Python builds them."""
