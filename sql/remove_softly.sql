UPDATE {{comments}} t SET {{deleted}} = {{moment}}
    WHERE t.{{comment_id}} = notify.to_comment_id(of_id) AND t.{{comment_author}} = notify.to_person_id(of_author)
      AND {{comment_is_there}}
