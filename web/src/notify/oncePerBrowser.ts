/**
 * One toast per browser, not per tab: whoever writes a notification's key first may show it. IndexedDB, because its
 * transactions hold across tabs; localStorage is a copy in each process, and two tabs could both be first.
 */

const DATABASE = "notify-server";
const SHOWN = "shown";
const KEPT_MS = 7 * 86_400_000; // as long as a server shows again what never arrived
const HIDDEN_DELAY_MS = 400; // the tab that somebody looks at goes first
const PATIENCE_MS = 1000; // there are browsers whose database at times never answers

let opened: Promise<IDBDatabase> | undefined;

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = (event) => {
      event.preventDefault(); // a key that exists is an answer, not a failure of the page
      reject(request.error);
    };
  });
}

async function open(): Promise<IDBDatabase> {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(SHOWN).createIndex("at", "at");
  const database = await settled(request);
  database.onversionchange = () => database.close();
  await forget(database, Date.now() - KEPT_MS);
  return database;
}

async function forget(database: IDBDatabase, before: number): Promise<void> {
  const store = database.transaction(SHOWN, "readwrite").objectStore(SHOWN);
  const old = await settled(store.index("at").getAllKeys(IDBKeyRange.upperBound(before)));
  await Promise.all(old.map((key) => settled(store.delete(key))));
}

async function claim(key: string): Promise<boolean> {
  opened ??= open();
  const store = (await opened).transaction(SHOWN, "readwrite").objectStore(SHOWN);
  try {
    await settled(store.add({ at: Date.now() }, key));
    return true;
  } catch (error) {
    if (error instanceof DOMException && error.name === "ConstraintError") return false;
    throw error;
  }
}

/** Whether this tab is the one to show it. Where the browser keeps no data, or does not answer, every tab is. */
export async function isFirstInBrowser(key: string): Promise<boolean> {
  if (document.visibilityState === "hidden") {
    await new Promise((resolve) => setTimeout(resolve, HIDDEN_DELAY_MS));
  }
  try {
    const impatient = new Promise<boolean>((resolve) => setTimeout(resolve, PATIENCE_MS, true));
    return await Promise.race([claim(key), impatient]);
  } catch {
    opened = undefined;
    return true;
  }
}
