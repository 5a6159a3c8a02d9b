import { render } from "preact";
import "./style/page.css";
import { keyFromLink, savedKey } from "./state/key";
import { App } from "./view/App";

const root = document.querySelector<HTMLMetaElement>('meta[name="api-root"]')?.content ?? "";
const saved = savedKey();
void keyFromLink(root, saved).then((brought) =>
  render(<App root={root} first={brought ?? saved} />, document.getElementById("app")!),
);
