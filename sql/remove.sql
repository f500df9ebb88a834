DELETE FROM notify.comments c
    WHERE c.id = notify.to_comment_id(of_id) AND c.author_id = notify.to_person_id(of_author)
