import { render } from "preact";
import "./style/page.css";
import { guardDrafts } from "./state/drafts";
import { keyFromLink, savedKey } from "./state/key";
import { App } from "./view/App";

guardDrafts();
const root = document.querySelector<HTMLMetaElement>('meta[name="api-root"]')?.content ?? "";
const saved = savedKey();
void keyFromLink(root, saved).then((brought) =>
  render(<App root={root} first={brought ?? saved} />, document.getElementById("app")!),
);
