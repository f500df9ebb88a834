/** The posts that a window shows, with their comments, fetched again whenever they may have changed. */

import { Store } from "../notify/store";
import { type Api, ApiError } from "./api";
import { type Comment, type Id, isSame, type Post } from "./model";

export interface Thread {
  readonly post: Post;
  readonly comments: readonly Comment[];
}

export interface FeedState {
  /** Undefined until they have come. */
  readonly threads: readonly Thread[] | undefined;
  readonly hasOlder: boolean;
  /** For people: why they could not be fetched, the last time that it was tried. */
  readonly problem: string | null;
}

/** Windows and tabs of one browser tell each other that something was written. */
const CHANNEL = "notify-server demo";
const AGAIN_MS = 3000;

export class Feed extends Store<FeedState> {
  readonly #api: Api;
  #pages = 1;
  /** Posts further down, which somebody came to from a notification. */
  readonly #revealed = new Map<string, Id>();
  #isWanted = false;
  #isLoading = false;
  #channel: BroadcastChannel | undefined;
  #again: ReturnType<typeof setTimeout> | undefined;
  /** While the connection is cut: what others write is not to be seen then. */
  isPaused = false;

  constructor(api: Api) {
    super({ threads: undefined, hasOlder: false, problem: null });
    this.#api = api;
  }

  /** Keeps the feed fresh, until what it returns is called. */
  readonly open = (): (() => void) => {
    const hear = () => {
      if (!this.isPaused) this.refresh();
    };
    const channel = new BroadcastChannel(CHANNEL);
    this.#channel = channel;
    channel.onmessage = hear;
    window.addEventListener("focus", hear);
    this.refresh();
    return () => {
      channel.close();
      this.#channel = undefined;
      window.removeEventListener("focus", hear);
      clearTimeout(this.#again);
    };
  };

  readonly refresh = (): void => {
    this.#isWanted = true;
    if (!this.#isLoading) void this.#load();
  };

  /** This window has written something. */
  readonly wrote = (): void => {
    this.#channel?.postMessage("wrote");
    this.refresh();
  };

  readonly showOlder = (): void => {
    this.#pages += 1;
    this.refresh();
  };

  /** The thread as it is now, which the feed shows from then on; undefined where there is no such post. */
  async reveal(postId: Id): Promise<Thread | undefined> {
    const thread = await this.#thread(postId);
    const { threads = [], ...state } = this.getSnapshot();
    if (!thread) {
      this.refresh();
      return undefined;
    }
    const isKnown = threads.some(({ post }) => isSame(post.id, postId));
    if (!isKnown) this.#revealed.set(String(postId), postId);
    const replaced = threads.map((known) => (isSame(known.post.id, postId) ? thread : known));
    this.publish({ ...state, threads: isKnown ? replaced : [...threads, thread] });
    return thread;
  }

  /** One at a time; what is asked for meanwhile makes one more. */
  async #load(): Promise<void> {
    this.#isLoading = true;
    clearTimeout(this.#again);
    while (this.#isWanted) {
      this.#isWanted = false;
      try {
        this.publish({ ...(await this.#fetch()), problem: null });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        this.publish({ ...this.getSnapshot(), problem: error.message });
        if (this.#channel) this.#again = setTimeout(this.refresh, AGAIN_MS);
      }
    }
    this.#isLoading = false;
  }

  async #fetch(): Promise<Pick<FeedState, "threads" | "hasOlder">> {
    let page = await this.#api.posts();
    const posts = [...page.posts];
    for (let pages = 1; pages < this.#pages && page.hasOlder; pages += 1) {
      page = await this.#api.posts(posts.at(-1)?.id);
      posts.push(...page.posts);
    }
    const listed = posts.map(async (post) => {
      const comments = await ifThere(this.#api.comments(post.id));
      return comments && { post, comments };
    });
    const others = [...this.#revealed.values()].filter((id) => !posts.some((post) => isSame(post.id, id)));
    const threads = await Promise.all([...listed, ...others.map((id) => this.#thread(id))]);
    return { threads: threads.filter((thread) => thread !== undefined), hasOlder: page.hasOlder };
  }

  async #thread(postId: Id): Promise<Thread | undefined> {
    const post = await ifThere(this.#api.post(postId));
    const comments = post && (await ifThere(this.#api.comments(postId)));
    return post && comments && { post, comments };
  }
}

/** A post may be deleted at any moment. */
async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
