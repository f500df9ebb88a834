/** The app's own HTTP API, as one person. What it throws is an `ApiError`, whose message is for people. */

import {
  type Comment,
  type Config,
  type Id,
  listOf,
  type Post,
  readComment,
  readConfig,
  readPost,
  Unreadable,
} from "./model";

export class ApiError extends Error {
  constructor(
    message: string,
    /** 0 where no answer came. */
    readonly status: number,
    /** Which of the fields that were sent is meant. */
    readonly field?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface Page {
  readonly posts: readonly Post[];
  readonly hasOlder: boolean;
}

const POSTS_ROWS = 10;
const COMMENTS_ROWS = 100; // the most that one request gives
const AGAIN_MS = 1000;
/** No answer, or one that a proxy gave: whether it was written is not known. Or the server was busy. */
const MAY_PASS = [0, 502, 503, 504];

export async function fetchConfig(): Promise<Config> {
  return read(await request("/demo", {}), readConfig);
}

export class Api {
  readonly #config: Config;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(config: Config, userId: Id) {
    this.#config = config;
    this.#headers = { Authorization: `User ${userId}` };
  }

  /** Highest id first. */
  async posts(before?: Id): Promise<Page> {
    const from = before === undefined ? "" : `&before=${before}`;
    const response = await this.#get(`/posts?limit=${POSTS_ROWS}${from}`);
    const hasOlder = response.headers.get("Link")?.includes('rel="next"') ?? false;
    return { posts: await read(response, listOf(readPost)), hasOlder };
  }

  async post(id: Id): Promise<Post> {
    return read(await this.#get(`/posts/${encodeURIComponent(id)}`), readPost);
  }

  /** All of them, oldest first. */
  async comments(postId: Id): Promise<Comment[]> {
    const all: Comment[] = [];
    const path = `/posts/${encodeURIComponent(postId)}/comments?limit=${COMMENTS_ROWS}`;
    for (;;) {
      const last = all.at(-1);
      const page = await this.#get(last ? `${path}&after=${last.id}` : path);
      const comments = await read(page, listOf(readComment));
      all.push(...comments);
      if (comments.length < COMMENTS_ROWS) return all;
    }
  }

  /** `key`: sent again with the same one, it is written once. */
  async addPost(post: Pick<Post, "title" | "body">, key: string): Promise<Post> {
    return read(await this.#write("/posts", post, key), readPost);
  }

  async addComment(postId: Id, text: string, key: string): Promise<Comment> {
    const body = { [this.#config.bodyField]: text };
    return read(await this.#write(`/posts/${encodeURIComponent(postId)}/comments`, body, key), readComment);
  }

  async deleteComment(id: Id): Promise<void> {
    await request(this.#url(`/comments/${encodeURIComponent(id)}`), {
      method: "DELETE",
      headers: this.#headers,
    });
  }

  #url(path: string): string {
    return this.#config.apiPrefix + path;
  }

  #get(path: string): Promise<Response> {
    return request(this.#url(path), { headers: this.#headers });
  }

  /** Sent once more where that may help; the key keeps it from being written twice. */
  async #write(path: string, body: object, key: string): Promise<Response> {
    const post = () =>
      request(this.#url(path), {
        method: "POST",
        headers: { ...this.#headers, "Content-Type": "application/json", "Idempotency-Key": key },
        body: JSON.stringify(body),
      });
    try {
      return await post();
    } catch (error) {
      if (!(error instanceof ApiError && MAY_PASS.includes(error.status))) throw error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      return post();
    }
  }
}

/** What it resolves with is a success. */
async function request(url: string, options: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    throw new ApiError("The server cannot be reached.", 0, undefined, { cause: error });
  }
  if (response.ok) return response;
  const body: unknown = await response.json().catch(() => undefined);
  const { error, field } = { error: undefined, field: undefined, ...(body as object | undefined) };
  throw new ApiError(
    typeof error === "string" ? error : `The server answers with an error (${response.status}).`,
    response.status,
    typeof field === "string" ? field : undefined,
  );
}

async function read<T>(response: Response, into: (value: unknown) => T): Promise<T> {
  try {
    return into(await response.json());
  } catch (error) {
    if (!(error instanceof Unreadable) && !(error instanceof SyntaxError)) throw error;
    throw new ApiError("The server's answer could not be read.", response.status, undefined, {
      cause: error,
    });
  }
}
